# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed, in whatever way, or one of those that it depends on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import typing as t
from bisect import bisect
from contextlib import suppress

from lab import PATIENCE, command_of, descendants

from .world import World

#: What is killed, and with which signal. What is killed, and what is left to live, is as in a session that ends, a
#: controller that has no memory left, or somebody's hand.
WAYS = {
    **{f"session-{number.name}": number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)},
    **{f"playbook-{number.name}": number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)},
    **{f"module-{number.name}": number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)},
    "node-SIGKILL": signal.SIGKILL,
}


def disturb(world: World, step: str, chance: random.Random) -> str:
    """Start a step, kill it at some moment, and wait for its end; says what was killed when."""
    lines = world.undisturbed(step).lines
    moment = chance.uniform(lines[0], lines[-1] + 0.2)
    line = bisect(lines, moment)
    pause = moment - lines[line - 1]
    way = chance.choice(list(WAYS))
    process = world.start(step)
    while process.poll() is None and world.said().count("\n") < line:
        time.sleep(0.005)
    time.sleep(pause)
    for pid in _victims(world, process, way.partition("-")[0], chance):
        with suppress(ProcessLookupError):
            os.kill(pid, WAYS[way])
    process.wait(timeout=PATIENCE)
    return f"{way} {pause:.2f} s after line {line} of {step}"


def _victims(world: World, process: subprocess.Popen[bytes], what: str, chance: random.Random) -> t.Sequence[int]:
    if process.poll() is not None:
        return []
    if what == "node":
        nodes = sorted(world.remains.supervisors())
        return chance.sample(nodes, 1) if nodes else []
    below = descendants(process.pid)
    if what == "module":
        return [pid for pid in below if "AnsiballZ_" in command_of(pid)]
    return [process.pid, *below] if what == "session" else [process.pid]
