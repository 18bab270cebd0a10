# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a platform can do with a machine while a test script runs, and nothing else asks for. PRIVATE to the collection.

A platform has an ability by being of its class. Whoever uses one puts things back: machines are kept.
"""

from __future__ import annotations

import enum
import typing as t
from abc import ABC, abstractmethod

if t.TYPE_CHECKING:
    from ..model.deployment import Node
    from ..nodes.endpoint import Endpoint


class Ability(enum.Enum):
    """What a test script may need of a platform, in words."""

    POWER = "switch machines off and on"
    CABLE = "unplug machines"
    KEYBOARD = "type on consoles"


class HasPower(ABC):
    """Machines can be switched off and on: what one boots again is what it was told last."""

    @abstractmethod
    def is_on(self, node: Node) -> bool:
        """Whether the node's machine runs, in whatever state its system is."""

    @abstractmethod
    def turn_on(self, node: Node) -> None:
        """Boot it, unless it runs. Returns when it was started. :raises ComposeError: it does not start."""

    @abstractmethod
    def turn_off(self, node: Node, *, hard: bool) -> None:
        """Take it down, unless it is. Returns when it is.

        :param hard: as if its power was cut; else in good order, and by force only if that takes too long.
        """


class HasCable(ABC):
    """Machines can be cut off from each other, and still be reached from here."""

    @abstractmethod
    def plug(self, node: Node, *, plugged: bool) -> None:
        """Unplug the running node from the deployment's network, or plug it in. A machine boots plugged in."""

    @abstractmethod
    def way_around(self, node: Node) -> Endpoint:
        """How SSH reaches a running node that is unplugged."""


class HasKeyboard(ABC):
    """Consoles take what is typed."""

    @abstractmethod
    def type_text(self, node: Node, text: str) -> None:
        """Type on the node's console. :raises ComposeError: nobody reads it."""


_CLASSES: t.Mapping[Ability, type] = {
    Ability.POWER: HasPower,
    Ability.CABLE: HasCable,
    Ability.KEYBOARD: HasKeyboard,
}


def abilities(platform: type) -> frozenset[Ability]:
    """What a platform can do, by its class."""
    return frozenset(ability for ability, needed in _CLASSES.items() if issubclass(platform, needed))
