# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes are made of, for whoever compares what was measured on them. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..errors import ComposeError
from ..model.report import MachineProfile
from ..nodes.connection import Connection

#: Seconds for an answer.
SECONDS = 10.0
#: Any image can tell that.
COMMAND = "cat /proc/sys/kernel/osrelease /proc/meminfo /proc/cpuinfo"


def ask_facts(nodes: t.Collection[str], connect: t.Callable[[str], Connection]) -> dict[str, MachineProfile]:
    """Ask nodes, all at the same time; those that do not answer are left out."""
    if not nodes:
        return {}
    with ThreadPoolExecutor(max_workers=min(64, len(nodes))) as pool:
        found = dict(zip(nodes, pool.map(partial(_ask, connect), nodes)))
    return {name: facts for name, facts in found.items() if facts is not None}


def _ask(connect: t.Callable[[str], Connection], name: str) -> MachineProfile | None:
    try:
        return facts_of(connect(name).run(COMMAND, SECONDS).stdout.decode("utf-8", "replace"))
    except ComposeError:
        return None


def facts_of(text: str) -> MachineProfile:
    """What the files say; what they do not is empty."""
    kernel, _newline, rest = text.partition("\n")
    model = re.search(r"^(?:model name|Model|cpu model)\s*: (.+)$", rest, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", rest, re.MULTILINE)
    return MachineProfile(
        kernel,
        model[1].strip() if model else "",
        len(re.findall(r"^processor\s*:", rest, re.MULTILINE)),
        int(memory[1]) // 1024 if memory else 0,
    )
