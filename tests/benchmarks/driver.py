"""Benchmark ``driver``: commands of a test script over the kept connection, against one ``ssh`` process per command.

Both run on the same container. Prints one line: ``bench driver RATIO 150 met|short``, the ratio of commands per second.
"""

from __future__ import annotations

import statistics
import subprocess
import time
import typing as t
from pathlib import Path

from container import NODE, container

from ansible_collections.immutable.compose.plugins.module_utils.checks.console import Console
from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

GOAL = 150
COMMAND = "test -d /etc"
#: ssh runs fewer, in as many portions as the driver, turn by turn: what else the machine does slows both.
DRIVER_COMMANDS, SSH_COMMANDS, PORTIONS = 2000, 100, 10
#: Seconds for the script's process to be there, as it is once the built-in checks are done.
STARTED = 0.5


def effective(ssh_config: Path, node: str) -> dict[str, str]:
    """What ssh itself makes of its configuration."""
    command = ["ssh", "-G", "-F", str(ssh_config), node]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)


def connect(ssh_config: Path, node: str) -> Connection:
    options = effective(ssh_config, node)
    known = (line.split(" ", 1) for line in (ssh_config.parent / "known_hosts").read_text().splitlines())
    endpoint = Endpoint(options["hostname"], int(options["port"]), options.get("proxycommand"))
    return Connection(node, endpoint, dict(known)[node], str(ssh_config.parent / "id_ed25519"))


def time_driver(connection: Connection, node: str, count: int) -> float:
    deadline = Deadline(600)
    machine = Machine(
        node,
        connection,
        deadline,
        console=Console(lambda lines: ""),
        hands=t.cast(t.Any, None),  # the script switches nothing
        boot_timeout=60,
        results="",
        say=lambda text: None,
    )
    script = f"for dummy in range({count}):\n    machine.succeed({COMMAND!r})"
    with ScriptProcess(Progress()) as process:
        time.sleep(STARTED)
        start = time.monotonic()
        checks = process.run(script, [machine], deadline)
        seconds = time.monotonic() - start
    if not checks[-1].ok:
        raise SystemExit(checks[-1].message)
    return seconds


def time_ssh(ssh_config: Path, node: str, count: int) -> float:
    command = ["ssh", "-F", str(ssh_config), "-o", "BatchMode=yes", "-o", "ControlMaster=no", node, COMMAND]
    start = time.monotonic()
    for _dummy in range(count):
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
    return time.monotonic() - start


def main() -> int:
    """Print the result; 0 if the goal is met."""
    driver, ssh = [], []
    with container() as lab:
        lab.play("deploy", quiet=True)
        config = lab.state / "ssh_config"
        connection = connect(config, NODE)
        connection.open(60)
        for _portion in range(PORTIONS):
            driver.append(time_driver(connection, NODE, DRIVER_COMMANDS // PORTIONS) / DRIVER_COMMANDS)
            ssh.append(time_ssh(config, NODE, SSH_COMMANDS // PORTIONS) / SSH_COMMANDS)
        connection.close()
    ratio = statistics.fmean(ssh) / statistics.fmean(driver)
    print(f"bench driver {ratio:.1f} {GOAL} {'met' if ratio >= GOAL else 'short'}")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
