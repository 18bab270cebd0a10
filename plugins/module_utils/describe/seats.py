# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine each folded node has: ``seats.json`` in the state directory of its deployment. PRIVATE.

The deployment that has the machines knows of it by a link, ``guests/NAME`` in its own state directory: the machines of
nodes are not replaced under them.
"""

from __future__ import annotations

import os
import typing as t
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import InputError
from ..model import codec
from ..model.deployment import Fold

_GUESTS = "guests"


@dataclass(frozen=True)
class Seats:
    """The file ``seats.json``."""

    #: State directory of the deployment that has the machines.
    onto: str
    #: How nodes got machines: ``spread`` or ``pack``, and by what.
    rule: str
    #: Node → machine.
    nodes: t.Mapping[str, str] = field(default_factory=dict)
    #: All machines that may have something of this deployment: images, a network.
    machines: t.Sequence[str] = ()
    schema: t.Literal["immutable.compose/seats/1"] = "immutable.compose/seats/1"

    @classmethod
    def read(cls, state: str) -> Seats | None:
        """Of a deployment; ``None`` if no node was ever folded.

        :raises InputError: it is damaged; says what to do.
        """
        path = _file(state)
        try:
            return codec.read(cls, path)
        except FileNotFoundError:
            return None
        except InputError as error:
            raise InputError(
                f"{error.message}. The file says which machines have nodes of this deployment: remove it once nothing "
                "of them is left there"
            ) from None

    def write(self, state: str, name: str) -> None:
        """Have it written down on both sides, before anything is brought to a machine.

        :param name: of the folded deployment.
        """
        codec.write(_file(state), self)
        guests = os.path.join(self.onto, _GUESTS)
        os.makedirs(guests, mode=0o700, exist_ok=True)
        link = os.path.join(guests, name)
        with suppress(FileNotFoundError):
            if os.readlink(link) == state:
                return
            os.unlink(link)
        os.symlink(state, link)

    def forget(self, state: str, name: str) -> None:
        """Nothing is left on any machine."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.onto, _GUESTS, name))
        with suppress(OSError):  # of others
            os.rmdir(os.path.join(self.onto, _GUESTS))
        with suppress(FileNotFoundError):
            os.unlink(_file(state))


def rule_of(fold: Fold) -> str:
    """How nodes get machines, in words."""
    return f"{fold.place} by {fold.by}" if fold.by else fold.place


def guests(state: str) -> dict[str, dict[str, list[str]]]:
    """Machine → deployment → those of its nodes that are on it.

    :param state: of the deployment that has the machines.
    """
    directory, found = os.path.join(state, _GUESTS), dict[str, dict[str, list[str]]]()
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    for name in names:
        seats = Seats.read(os.path.realpath(os.path.join(directory, name)))
        for node, machine in sorted(seats.nodes.items()) if seats else ():
            found.setdefault(machine, {}).setdefault(name, []).append(node)
    return found


def _file(state: str) -> str:
    return os.path.join(state, "seats.json")
