# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes themselves say that they run. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ...errors import ComposeError
from ...model.boot import Seen
from ...nodes.probe import Expected, facts_of, probe
from ...progress import Progress, listed

if t.TYPE_CHECKING:
    from ...nodes.connection import Connection

#: Nodes that are asked at the same time.
ASKED = 32
#: Seconds for one to answer.
REACH = 10.0


def asked(
    names: t.Sequence[str],
    connect: t.Callable[[str], Connection],
    machine: t.Callable[[str], str],
    progress: Progress,
) -> dict[str, Seen]:
    """Ask nodes, all at the same time. One that does not answer is silent; on the machine of one, another may run.

    :param names: of nodes, at least one.
    :param connect: gives the connection to a node, not opened yet.
    :param machine: the machine of a node.
    """
    from ...nodes.connection import HostKeyMismatch  # with paramiko, which the inventory does without

    def ask(name: str) -> Seen:
        try:
            shell = connect(name)
            try:
                shell.open(REACH)
                facts = facts_of(shell.run(probe(Expected(""), wait=False), REACH))
            finally:
                shell.close()
        except HostKeyMismatch:
            progress.say(f"{name}: its machine {machine(name)} runs another system")
            return Seen("stopped")
        except ComposeError:
            return Seen("silent")
        return Seen("running", next(iter(facts.get("identity", ())), None))

    waiting = progress.waiting(lambda: f"asking {listed(sorted(names))} what they run")
    with waiting, ThreadPoolExecutor(max_workers=min(ASKED, len(names))) as pool:
        return dict(zip(names, pool.map(ask, names)))
