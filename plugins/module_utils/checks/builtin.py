# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks that every node has to pass: it answers, runs what it should, and is up. PRIVATE to the collection."""

from __future__ import annotations

import shlex
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..images.image import IDENTITY_FILE, SYSTEM_LINK
from ..progress import Progress
from ..ssh.connection import Connection, HostKeyMismatch, Output, SSHError
from .deadline import Deadline, DeadlineError
from .report import Check

#: Seconds that a declared port may stay closed once systemd says that the system is up.
PORT_GRACE = 30
#: Seconds between two looks at a node that goes down, and for the list of jobs of one that does not come up.
PAUSE, JOBS = 0.2, 10.0

#: Up to so many nodes, each one that is well gets a line of its own.
TOLD = 30

BOOTING = "connected; its units and ports are not up yet"

# Everything in one round trip; the node itself waits until it is up. One fact per line: KEY VALUE.
# Guix has the Shepherd in place of systemd; that marks a service that failed to start with "!".
_PROBE = r"""
if [ -L {system_link} ]; then identity=$(basename "$(readlink -f {system_link})")
else identity=$(cat {identity_file} 2>&1); fi
herd={system_link}/profile/bin/herd
if [ -x $herd ]; then state=running; else state=$(systemctl is-system-running 2>&1); fi
echo "identity $identity"
if [ "$identity" != {identity} ]; then echo "state $state"; exit; fi
case $state in
  initializing|starting) state=$(systemctl is-system-running --wait 2>&1) ;;
esac
grace={grace}
while read -r unit _; do
  echo "failed $unit"
  journalctl --boot --no-pager --output=cat --lines=3 "_SYSTEMD_UNIT=$unit" | sed 's/^/said /'
  grace=0
done < <(if [ -x $herd ]; then LANGUAGE=C $herd status | sed -n 's/^ *! *//p'
  else systemctl list-units --state=failed --plain --no-legend --no-pager; fi)
end=$((SECONDS + grace))
for port in {ports}; do
  until for addr in {addresses}; do (exec 3<>"/dev/tcp/$addr/$port") 2>/dev/null && break; done; do
    if [ "$SECONDS" -ge "$end" ]; then echo "closed $port"; break; fi
    sleep 0.1
  done
done
echo "state $state"
"""


@dataclass(frozen=True)
class Expected:
    """What a node has to be."""

    identity: str
    ports: t.Sequence[int] = ()
    #: The node's own address: where services listen that do not listen on the loopback interface.
    address: str | None = None


def check_nodes(
    nodes: t.Mapping[str, Expected],
    connect: t.Callable[[str], Connection],
    timeout: float,
    progress: Progress,
) -> list[Check]:
    """Check all nodes at the same time.

    :param timeout: seconds for each node to come up.
    """
    if not nodes:
        return []
    missing = dict.fromkeys(nodes)
    lock = threading.Lock()

    def check(name: str) -> list[Check]:
        checks = _check_node(name, nodes[name], connect(name), Deadline(timeout))
        with lock:
            del missing[name]
            bad = "; ".join(check.message for check in checks if not check.ok)
            done = len(nodes) - len(missing)
            if bad or len(nodes) <= TOLD or done == len(nodes):
                progress.say(f"verify {name}: {bad or 'ok'} ({done} of {len(nodes)})")
        return checks

    def describe() -> str:
        with lock:
            names = list(missing)
        shown = ", ".join(f"{name} ({connect(name).last_error or BOOTING})" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"verify: waiting for {len(names)} of {len(nodes)} nodes: {shown}{more}"

    # A thread each: a node that does not come up must not take the place of one that does.
    with progress.waiting(describe), ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return [check for checks in pool.map(check, nodes) for check in checks]


def _check_node(name: str, expected: Expected, connection: Connection, deadline: Deadline) -> list[Check]:
    start = time.monotonic()
    while True:
        try:
            connection.open(deadline.left())
            reached = time.monotonic()
            output = connection.run(_probe(expected), deadline.left())
        except HostKeyMismatch as error:
            return [Check("reachable", False, name, error.message, time.monotonic() - start)]
        except SSHError:
            time.sleep(PAUSE)  # it may be on its way down from the image before
        except DeadlineError:
            why = connection.last_error or "the connection was lost again and again"
            message = f"no answer within {deadline.seconds:.0f} s; last error: {why}"
            return [Check("reachable", False, name, message, time.monotonic() - start)]
        else:
            facts = _facts(output)
            if facts.get("state") != ["stopping"]:
                break
            time.sleep(PAUSE)
    if output.timed_out:
        facts["jobs"] = connection.run("systemctl list-jobs --no-legend --no-pager", JOBS).stdout.decode().splitlines()
    seconds = time.monotonic() - reached
    return [Check("reachable", True, name, seconds=reached - start), *judge(name, expected, facts, seconds)]


def judge(name: str, expected: Expected, facts: t.Mapping[str, t.Sequence[str]], seconds: float) -> list[Check]:
    """The results for one node.

    :param facts: what the probe printed: ``identity``, ``state`` (missing: the node did not come up in time),
        ``failed`` units, what they ``said`` last, ``closed`` ports; and ``jobs`` that systemd still waits for.
    """
    identity = " ".join(facts.get("identity", []))
    if identity != expected.identity:
        message = f"runs {identity or 'an unknown image'}, expected {expected.identity}"
        return [Check("identity", False, name, message, seconds)]
    checks = [Check("identity", True, name)]

    state = facts.get("state", ["starting"])[0]
    failed = facts.get("failed", [])
    message = ""
    if failed:
        message = "; ".join([f"failed units: {', '.join(failed)}", *facts.get("said", [])])
    elif state == "starting":
        jobs = "; ".join(" ".join(job.split()) for job in facts.get("jobs", [])) or "none"
        message = f"the system did not come up in time; jobs: {jobs}"
    elif state != "running":
        message = f"the system is {state!r}, expected 'running'"
    checks.append(Check("units", not message, name, message, seconds))
    if state != "starting":
        for port in expected.ports:
            is_open = str(port) not in facts.get("closed", [])
            checks.append(Check(f"port {port}", is_open, name, "" if is_open else "accepts no connection"))
    return checks


def _probe(expected: Expected) -> str:
    values = {
        "identity_file": shlex.quote(IDENTITY_FILE),
        "system_link": SYSTEM_LINK,
        "identity": shlex.quote(expected.identity),
        "grace": str(PORT_GRACE),
        "ports": " ".join(map(str, expected.ports)),
        "addresses": " ".join(filter(None, ("127.0.0.1", "::1", expected.address))),
    }
    script = _PROBE
    for key, value in values.items():
        script = script.replace(f"{{{key}}}", value)
    return script


def _facts(output: Output) -> dict[str, list[str]]:
    facts: dict[str, list[str]] = {}
    for line in output.stdout.decode("utf-8", "replace").splitlines():
        key, dummy, value = line.partition(" ")
        facts.setdefault(key, []).append(value)
    return facts
