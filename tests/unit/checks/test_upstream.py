"""A table of what NixOS's driver does, and what this one does with the same lines."""

from __future__ import annotations

import socket
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.deadline import Deadline
from ansible_collections.immutable.compose.plugins.module_utils.checks.hands import Hands
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import ScriptProcess
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import Server
from .scripts import Machines, Notes, make, run

BEGINNING = """
import time
from test_driver.errors import MachineError, RequestedAssertionFailed, TestScriptError
from test_driver.polling_condition import PollingConditionError

def error_of(kind, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        assert type(error) is kind, (type(error), error)
        return str(error)
    raise AssertionError("nothing was raised")
"""

#: What is the same there, by what it is about.
TABLE = {
    # -- the surroundings of commands: those of the service "backdoor" --
    "working directory": 'assert machine.succeed("pwd") == "/tmp\\n"',
    "root": 'assert machine.succeed("echo $USER $HOME") == "root /root\\n"',
    "display": 'assert machine.succeed("echo $DISPLAY") == ":0.0\\n"',
    "no pager": 'assert machine.succeed("echo ${PAGER-unset}.") == ".\\n"',
    "locale": 'assert machine.succeed("echo ${LANG-unset} ${LC_ALL-unset}") == "unset unset\\n"',
    "profile": 'assert machine.succeed("echo $FROM_PROFILE") == "yes it is\\n"',
    "nothing of the login": """
        said = set(machine.succeed("env | cut -d = -f 1").split())
        assert said == {"DISPLAY", "FROM_PROFILE", "HOME", "OLDPWD", "PAGER", "PATH", "PWD", "SHLVL", "USER", "_"}
    """,
    "files": 'assert machine.succeed("ulimit -Sn") == "1024\\n"',
    "name of the shell": 'assert machine.succeed("echo $0") == "bash\\n"',
    "nothing of the shell is left": 'assert machine.succeed("set -- a; echo ${command-} ${f-} ${d-} $#") == "1\\n"',
    "standard input blocks": 'assert machine.execute("cat; echo ended", timeout=1) == (124, "")',
    "each has its own": 'assert machine.execute("read x", timeout=1)[0] == 124; machine.succeed("true")',
    # -- commands --
    "strict": 'machine.fail("false; true"); machine.fail("false | true"); machine.fail("echo $not_set")',
    "strictness can be lifted": 'machine.succeed("set +euo pipefail; false; false | true; echo $not_set")',
    "standard output only": 'assert machine.succeed("echo a; echo b >&2") == "a\\n"',
    "several commands": 'assert machine.succeed("echo a", "echo b") == "a\\nb\\n"',
    "execute": 'assert machine.execute("echo a; exit 7") == (7, "a\\n")',
    "execute, no return": 'assert machine.execute("echo a; exit 7", check_return=False) == (-1, "a\\n")',
    "execute, no output": 'assert machine.execute("sleep 60", check_output=False) == (-2, "")',
    "time-out": 'assert machine.execute("echo a; sleep 60", timeout=1) == (124, "a\\n")',
    "waits for standard output": """
        start = time.monotonic()
        assert machine.succeed("(sleep 1; echo late) & echo now") == "now\\nlate\\n"
        assert time.monotonic() - start >= 1
    """,
    "a background process that has none": """
        start = time.monotonic()
        assert machine.succeed("sleep 60 >&2 & echo x") == "x\\n"
        assert machine.succeed("(sleep 60 >/dev/null 2>&1 &); echo x") == "x\\n"
        assert time.monotonic() - start < 30
    """,
    "time-out of the background": """
        start = time.monotonic()
        assert machine.execute("sleep 60 & echo x", timeout=1) == (124, "x\\n")
        assert time.monotonic() - start < 30
    """,
    "NUL is refused": "error_of(ValueError, machine.succeed, 'echo \\0')",
    "binary output": 'assert machine.succeed("printf \'a\\\\377b\'") == "a\\ufffdb"',
    # -- what is raised --
    "succeed": """
        said = error_of(RequestedAssertionFailed, machine.succeed, "exit 3")
        assert said == "command `exit 3` failed (exit code 3)", said
    """,
    "fail": """
        said = error_of(RequestedAssertionFailed, machine.fail, "true")
        assert said == "command `true` unexpectedly succeeded", said
    """,
    "a failed wait": "error_of(RequestedAssertionFailed, machine.wait_until_succeeds, 'false', timeout=1)",
    "a failed retry": "error_of(RequestedAssertionFailed, retry, lambda last: False, 1)",
    "a failed assertion": """
        assert "1 != 2" in error_of(RequestedAssertionFailed, t.assertEqual, 1, 2)
        with t.assertRaises(RequestedAssertionFailed):
            machine.succeed("false")
    """,
    "they are exceptions": """
        try:
            machine.succeed("false")
        except Exception as error:
            assert isinstance(error, TestScriptError)
    """,
    # -- conditions that are polled --
    "a condition that fails": """
        @polling_condition(seconds_interval=0, description="nothing is wrong")
        def fine():
            return machine.execute("test ! -e /tmp/wrong-here")[0] == 0

        machine.succeed("rm -f /tmp/wrong-here", "touch /tmp/wrong-here")
        with fine:
            said = error_of(PollingConditionError, machine.succeed, "true")
        assert said == "Polling condition failed: nothing is wrong", said
        machine.succeed("rm /tmp/wrong-here")
        with fine:
            machine.succeed("true")
    """,
    "a condition is looked at while something is waited for": """
        count = 0

        @polling_condition
        def three_times():
            "three times"
            global count
            count += 1
            assert count < 3, "caught, and taken for no"

        start = time.monotonic()
        with three_times:
            said = error_of(PollingConditionError, machine.wait_for_file, "/nowhere", timeout=200)
        assert said == "Polling condition failed: three times" and count == 3, (said, count)
        assert 3.5 < time.monotonic() - start < 100
        machine.succeed("true")
    """,
    "a condition is waited for": """
        tries = []

        @polling_condition
        def later():
            tries.append(machine.succeed("echo x"))
            return len(tries) > 2

        later.wait(timeout=60)
        error_of(RequestedAssertionFailed, polling_condition(lambda: False).wait, 1)
    """,
    "a condition does not poll itself": """
        with polling_condition(lambda: machine.succeed("true") == "", seconds_interval=0):
            machine.succeed("true")
    """,
    # -- attributes --
    "its connection": """
        machine.connected = False
        machine.succeed("true")
        machine.booted = False
        assert machine.is_up()
    """,
    "what is no text is printed": """
        from pathlib import Path

        machine.wait_for_file(Path("/tmp"), timeout=60)
        machine.log(Path("/tmp"))
        log.info(Path("/tmp"))
    """,
    # -- words for people --
    "log.error ends": """
        try:
            log.error("it is over")
        except SystemExit as error:
            assert str(error) == "it is over"
    """,
    "nested": """
        with machine.nested("one"), log.nested("two"), subtest("three"):
            machine.succeed("true")
        log.debug("a"); log.info("a", 1, machine="b"); log.warning("b"); machine.log("d")
        serial_stdout_off(); serial_stdout_on()
    """,
    "retry": "from test_driver.machine import QemuMachine, retry as again\nagain(lambda last: True, 1)",
    "types": "def f(m: Machine, n: BaseMachine) -> None: m.succeed('true')\nf(machine, machine)",
}


@pytest.fixture
def machine(kept: Connection, tmp_path: Path, profile: Path) -> Machine:
    profile.write_text("read x\necho hello $x\necho error >&2\nexport FROM_PROFILE='yes it is'\nfalse\ncd /\n")
    return make(kept, tmp_path, [])


@pytest.mark.parametrize("lines", TABLE.values(), ids=TABLE.keys())
def test_the_same(machine: Machine, lines: str) -> None:
    first = lines.lstrip("\n")
    indent = first[: len(first) - len(first.lstrip())]
    text = "\n".join(line.removeprefix(indent) for line in first.splitlines())
    (*_subtests, check) = run(f"{BEGINNING}\n{text}", machine)
    assert check.ok, check.message


def test_files_of_the_script_lie_beside_those_of_nodes(machine: Machine, tmp_path: Path) -> None:
    text = """
import os
machine.copy_from_machine("/etc/hostname")
assert (machine.out_dir / "hostname").read_text() == machine.succeed("cat /etc/hostname")
assert os.environ["out"] == str(machine.out_dir)
"""
    results = tmp_path / "results"
    with ScriptProcess(Progress(None)) as process:
        (check,) = process.run(text, [make(machine._connection, results, [])], Deadline(300), {}, str(results))
    assert check.ok, check.message


# -- the console ---------------------------------------------------------------------------------------------------


class Growing:
    """A console of which the last lines can be asked for."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def __call__(self, lines: int) -> str:
        return "\n".join(self.text.splitlines()[-lines:])


def test_only_new_lines_of_the_console_count(kept: Connection, tmp_path: Path) -> None:
    console = Growing("old: ready\n" * 3)
    machine = make(kept, tmp_path, [], console=console)
    machine._console.skip()
    (check,) = run("machine.wait_for_console_text('ready', timeout=1)", machine)
    assert not check.ok and "waiting for /ready/ on the console: timed out" in check.message
    console.text += "new: ready\nthen\nnew: ready\nmore\n"
    (check,) = run("for number in (1, 2): machine.wait_for_console_text('new.*ready', timeout=60)", machine)
    assert check.ok, check.message
    (check,) = run("machine.wait_for_console_text('ready', timeout=1)", machine)
    assert not check.ok, "each line counts once"
    assert machine.get_console_log() == console.text.strip()


def test_the_console_is_waited_for(kept: Connection, tmp_path: Path) -> None:
    console = Growing("a\n" * 2000)
    machine = make(kept, tmp_path, [], console=console)
    machine._console.skip()

    def later() -> None:
        time.sleep(0.5)
        console.text += "lo"
        time.sleep(0.5)
        console.text += "gin: \nmulti\nline\n"

    threading.Thread(target=later).start()
    (check,) = run("machine.wait_for_console_text('multi.?line')", machine)
    assert check.ok, check.message


def test_the_journal_counts_as_console(server: Server, kept: Connection, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    server.program(
        "journalctl",
        f"""
        echo "$*" >>{tmp_path}/asked
        case "$*" in
          *after-cursor=s=1*) [ -e {journal} ] && cat {journal} && echo '-- cursor: s=2' && rm {journal} ;;
          *since=@*) echo 'unit: first'; echo '-- cursor: s=1' ;;
        esac""",
    )
    machine = make(kept, tmp_path, [])
    machine._console.skip()
    text = f"""
machine.wait_for_console_text('first')
machine.succeed("echo 'unit: second' >{journal}")
machine.wait_for_console_text('unit: .*second')
machine.wait_for_console_text('second', timeout=1)
"""
    (check,) = run(text, machine)
    server.program("journalctl", "echo journal of the node; echo $@")
    assert not check.ok and "line 5" in check.message, "each line counts once"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "--since=@1" in asked[0] and "--after-cursor=s=1" in asked[1] and "--after-cursor=s=2" in asked[-1]


# -- sockets -------------------------------------------------------------------------------------------------------


def test_unix_sockets(machine: Machine, tmp_path: Path) -> None:
    stream, datagram = f"{tmp_path}/stream", f"{tmp_path}/datagram"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two:
        one.bind(stream)
        two.bind(datagram)
        (check,) = run(f"machine.wait_for_open_unix_socket('{stream}', timeout=1)", machine)
        assert not check.ok, "nobody listens"
        one.listen()
        (tmp_path / "link").symlink_to(stream)
        text = f"""
        machine.wait_for_open_unix_socket('{stream}', timeout=60)
        machine.wait_for_open_unix_socket('{tmp_path}/link', timeout=60)
        machine.wait_for_open_unix_socket('{datagram}', is_datagram=True, timeout=60)
        """
        (check,) = run(text, machine)
        assert check.ok, check.message
        (check,) = run(f"machine.wait_for_open_unix_socket('{stream}', is_datagram=True, timeout=1)", machine)
        assert not check.ok and "UNIX datagram socket" in check.message
    (check,) = run(f"machine.wait_for_open_unix_socket('{stream}', timeout=1)", machine)
    assert not check.ok, "who listened has gone"


# -- machines ------------------------------------------------------------------------------------------------------


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    yield machines
    machines.stop()


def handled(machines: Machines, text: str) -> tuple[t.Any, dict[str, str], Notes]:
    notes = Notes()
    hands = Hands(t.cast(t.Any, machines), t.cast(t.Any, notes), alone=True)
    connection = machines.connection()
    try:
        (*_subtests, check) = run(BEGINNING + text, make(connection, machines.directory, [], hands=hands))
        return check, hands.undo([]), notes
    finally:
        connection.close()


def test_machines_are_switched(machines: Machines) -> None:
    text = """
machine.start(allow_reboot=True)
assert machine.is_up()
machine.crash()
machine.crash()
machine.shutdown()
machine.wait_for_shutdown()
join_all()
assert not machine.is_up()
machine.start()
machine.start()
machine.succeed("true")
assert machine.is_up()
machine.reboot()
machine.crash()
machine.succeed("echo a command starts a machine that is off")
"""
    check, outcomes, notes = handled(machines, text)
    assert check.ok, check.message
    assert machines.done == ["off, hard", "on", "off", "on", "off, hard", "on", "in"]
    assert outcomes == {"oar-server": ""} and notes.noted == ["oar-server"] and notes.dismissed


def test_what_is_off_and_unplugged_is_put_back(machines: Machines) -> None:
    text = "machine.block()\nmachine.succeed('true')\nmachine.crash()\nmachine.send_console('x')"
    check, outcomes, _notes = handled(machines, text)
    assert check.ok, check.message
    assert machines.done == ["out", "off, hard", "x", "on"] and outcomes == {"oar-server": ""}


def test_what_is_unplugged_is_plugged_in(machines: Machines) -> None:
    check, _outcomes, _notes = handled(
        machines, "machine.unblock()\nmachine.block()\nmachine.unblock()\nmachine.block()"
    )
    assert check.ok, check.message
    assert machines.done == ["out", "in", "out", "in"]
    routes = (machines.directory / "routes").read_text().split("\n")
    assert [line.split()[1] for line in routes if line] == ["delete", "replace"] * 2


def test_what_a_node_does_to_itself_is_seen(machines: Machines) -> None:
    assert machines.server is not None
    text = f"""
machine.succeed("true")
machine.execute("kill -9 {machines.server.process.pid} $PPID", check_return=False)
machine.wait_for_shutdown()
assert not machine.is_up()
"""
    check, _outcomes, _notes = handled(machines, text)
    assert check.ok, check.message
    assert machines.done == ["on"]


def test_nothing_is_done_where_others_may_be_at_work(machines: Machines) -> None:
    hands = Hands(t.cast(t.Any, machines), t.cast(t.Any, Notes()), alone=False)
    with pytest.raises(Exception, match="the script does not name this method"):
        hands.turn_off("oar-server", hard=True)
    machines.stop()
    assert hands.undo(["oar-server"]) == {} and machines.done == []


def test_nothing_is_done_once_the_script_is_over(machines: Machines) -> None:
    hands = Hands(t.cast(t.Any, machines), t.cast(t.Any, Notes()), alone=True)
    assert hands.undo([]) == {}
    with pytest.raises(Exception, match="the script is over"):
        hands.turn_off("oar-server", hard=True)
    assert machines.done == []
