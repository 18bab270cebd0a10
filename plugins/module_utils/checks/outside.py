# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether declared ports can be reached from other nodes than their own. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ..errors import ComposeError
from ..nodes.connection import Connection

#: Seconds for all connections that one node is asked to make, and how many nodes are asked about a port at most.
SECONDS, ASKED = 5.0, 3

# All at the same time, without a program: a firewall that drops what it does not like must not hold up the others.
_ASK = """for place in {places}; do
  {{ if (exec 3<>"/dev/tcp/$place") 2>/dev/null; then echo "$place"; fi; }} &
done
wait"""


@dataclass(frozen=True)
class Port:
    """A declared port of a node, at the address by which its peers know it."""

    node: str
    address: str
    number: int


@dataclass(frozen=True)
class Answer:
    """What others say of a port."""

    reached: bool
    #: Who was asked, and answered.
    asked: tuple[str, ...] = ()


def ask_from_outside(
    ports: t.Iterable[Port], askers: t.Sequence[str], connect: t.Callable[[str], Connection]
) -> dict[Port, Answer]:
    """Ask another node whether it reaches a port; where it does not, up to two more.

    :param askers: nodes that may be asked, in a ring: each about those before it, so that none is asked about all.
    """
    answers = {port: Answer(False) for port in ports}
    turns = {name: turn for turn, name in enumerate(askers)}
    for step in range(1, min(ASKED + 1, len(askers))):
        questions: dict[str, list[Port]] = {}
        for port, answer in answers.items():
            asker = askers[(turns.get(port.node, 0) + step) % len(askers)]
            if not answer.reached and asker != port.node:
                questions.setdefault(asker, []).append(port)
        if not questions:
            break
        with ThreadPoolExecutor(max_workers=len(questions)) as pool:
            found = list(pool.map(partial(_ask, connect), questions, questions.values()))
        for asker, reached in zip(questions, found):
            if reached is not None:
                for port in questions[asker]:
                    answers[port] = Answer(port in reached, (*answers[port].asked, asker))
    return answers


def _ask(connect: t.Callable[[str], Connection], asker: str, ports: t.Sequence[Port]) -> set[Port] | None:
    """The ports that a node reaches; ``None`` where it cannot be asked."""
    places = {f"{port.address}/{port.number}": port for port in ports}
    try:
        output = connect(asker).run(_ASK.format(places=" ".join(places)), SECONDS)
    except ComposeError:
        return None
    return {places[place] for place in output.stdout.decode("utf-8", "replace").split() if place in places}
