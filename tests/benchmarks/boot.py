"""Benchmark ``boot``: from switching a container to a verified node, against a bare boot until SSH answers.

Ours is a deploy of one new node whose image is built already: from the record that is written right before the node
is started to the line that tells that it is verified; what the task needs before that, about 0.7 s, does not count.
The other side runs the very command that the platform runs, on the same image, and tries to log in with ``ssh`` again
and again. Both take turns.

Prints one line: ``bench boot RATIO 1.15 met|short``, the ratio of the median times.
"""

from __future__ import annotations

import os
import select
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from container import NODE, container
from lab import Lab

GOAL = 1.15
ROUNDS = 5


def ours(lab: Lab) -> float:
    """Seconds from the start of the new node to its verification."""
    process = lab.start("deploy")
    end = 0.0
    output = []
    for line in process.stdout or ():
        output.append(line)
        if f"verify {NODE}: ok" in line:
            end = time.time()
    if process.wait() or not end:
        raise SystemExit("".join(output))
    return end - (lab.state / "nodes" / NODE / "current.json").stat().st_mtime


def command_of(lab: Lab) -> tuple[int, list[str]]:
    """Process id and command line of the node's systemd-nspawn."""
    bind = f"--bind-ro={lab.state}/nodes/{NODE}/in:/run/compose/in"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                words = (entry / "cmdline").read_text().split("\0")[:-1]
                if words[:1] == ["systemd-nspawn"] and bind in words:
                    return int(entry.name), words
    raise SystemExit("the node does not run")


def stop(pid: int) -> None:
    """Shut a container down and wait until it has gone."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll(30_000)
    os.close(handle)


def bare(lab: Lab, namespace: int, command: list[str]) -> float:
    """Seconds from the start of systemd-nspawn until somebody can log in."""
    groups = [Path("/sys/fs/cgroup") / hierarchy / "bench-boot" for hierarchy in ("systemd", "unified")]
    for group in groups:
        group.mkdir(exist_ok=True)
    move = f'for group in {" ".join(map(str, groups))}; do echo $$ >$group/cgroup.procs; done; exec "$@"'
    begin = time.monotonic()
    process = subprocess.Popen(
        ["nsenter", f"--net=/proc/self/fd/{namespace}", "sh", "-c", move, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[namespace],
    )
    while lab.ssh(NODE, "true").returncode != 0:
        if time.monotonic() - begin > 60:
            raise SystemExit("the bare container does not answer")
        time.sleep(0.05)
    seconds = time.monotonic() - begin
    stop(process.pid)
    process.wait()
    for group in groups:
        for directory in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            directory.rmdir()
        group.rmdir()
    return seconds


def main() -> int:
    """Print the result; 0 if the goal is met."""
    mine, theirs = [], []
    with container() as lab:
        for _round in range(ROUNDS):
            mine.append(ours(lab))
            pid, command = command_of(lab)
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            stop(pid)
            theirs.append(bare(lab, namespace, command))
            os.close(namespace)
            lab.play("destroy", quiet=True)
    ratio = statistics.median(mine) / statistics.median(theirs)
    shown = f"ours {statistics.median(mine):.2f} s, bare {statistics.median(theirs):.2f} s"
    print(f"boot: {shown}", file=sys.stderr)
    print(f"bench boot {ratio:.2f} {GOAL} {'met' if ratio <= GOAL else 'short'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
