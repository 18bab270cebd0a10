# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test script does to machines, and how it is undone: nodes are kept. PRIVATE to the collection."""

from __future__ import annotations

import threading
import typing as t
from contextlib import contextmanager

from ..errors import ComposeError
from ..model.deployment import Node
from ..nodes.endpoint import Endpoint
from ..platforms.base import Platform
from ..platforms.hands import Ability, HasCable, HasKeyboard, HasPower
from .keeper import Keeper, put_back


class Hands:
    """Switches and unplugs machines of a deployment, and remembers which.

    :param keeper: undoes it should this process end before it does.
    :param alone: nobody else does anything to the deployment meanwhile; else these do nothing either.
    """

    def __init__(self, platform: Platform, keeper: Keeper, *, alone: bool) -> None:
        self._platform = platform
        self._keeper = keeper
        self._alone = alone
        #: Nodes whose machines something was done to, or was about to be.
        self.touched: set[str] = set()
        self._unplugged: set[str] = set()
        self._changed = threading.Condition()
        self._at_work = 0
        self._over = False

    @property
    def network(self) -> str:
        """Of the nodes."""
        return self._platform.deployment.network

    # -- power ---------------------------------------------------------------------------------------------------

    def intend(self, name: str) -> None:
        """The node is about to go down. :raises ComposeError: its machine could not be switched on again."""
        self._power(name)
        with self._touching(name):
            pass

    def is_on(self, name: str) -> bool:
        """Whether the node's machine runs."""
        return self._power(name).is_on(self._node(name))

    def is_known_off(self, name: str) -> bool:
        """Whether the platform can tell that the node's machine does not run."""
        return isinstance(self._platform, HasPower) and not self._platform.is_on(self._node(name))

    def turn_on(self, name: str) -> None:
        """Boot the node's machine, plugged in, unless it runs."""
        with self._touching(name):
            self._power(name).turn_on(self._node(name))
            self._unplugged.discard(name)

    def turn_off(self, name: str, *, hard: bool) -> None:
        """Take the node's machine down, if it runs."""
        with self._touching(name):
            self._power(name).turn_off(self._node(name), hard=hard)

    # -- cable, keyboard -----------------------------------------------------------------------------------------

    def plug(self, name: str, *, plugged: bool) -> None:
        """Unplug the node, or plug it in."""
        cable = self._cable(name)
        if plugged and name not in self._unplugged:
            return
        with self._touching(name):
            self._unplugged.add(name)
            cable.plug(self._node(name), plugged=plugged)
            if plugged:
                self._unplugged.discard(name)

    def way_to(self, name: str) -> Endpoint:
        """How SSH reaches the node now."""
        if name in self._unplugged:
            return self._cable(name).way_around(self._node(name))
        return self._platform.endpoint(self._node(name))

    def type_text(self, name: str, text: str) -> None:
        """Type on the node's console."""
        if not isinstance(self._platform, HasKeyboard):
            raise self._cannot(Ability.KEYBOARD, name)
        self._platform.type_text(self._node(name), text)

    # -- the end -------------------------------------------------------------------------------------------------

    def undo(self, silent: t.Iterable[str]) -> dict[str, str]:
        """Plug in what is unplugged, and switch on what is off. Nothing more is done after that.

        :param silent: other nodes that do not answer any more: the script may have shut them down by a command.
        :returns: node → why that failed, empty if it did not: of those to which something was done.
        """
        with self._changed:
            self._over = True
            self._changed.wait_for(lambda: not self._at_work)
        platform = self._platform
        if isinstance(platform, HasPower) and self._alone:
            self.touched.update(name for name in silent if not platform.is_on(self._node(name)))
        outcomes = {}
        for name in sorted(self.touched):
            try:
                put_back(platform, name)
                outcomes[name] = ""
            except ComposeError as error:
                outcomes[name] = error.message
        self._unplugged.clear()
        self._keeper.dismiss()
        return outcomes

    @contextmanager
    def _touching(self, name: str) -> t.Iterator[None]:
        """:raises ComposeError: the script is over, or the deployment is not its own."""
        if not self._alone:
            why = "the script does not name this method, so that it does not have the deployment for itself"
            raise ComposeError(why, node=name)
        with self._changed:
            if self._over:
                raise ComposeError("the script is over", node=name)
            if name not in self.touched:
                self._keeper.note(name)
                self.touched.add(name)
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _power(self, name: str) -> HasPower:
        if not isinstance(self._platform, HasPower):
            raise self._cannot(Ability.POWER, name)
        return self._platform

    def _cable(self, name: str) -> HasCable:
        if not isinstance(self._platform, HasCable):
            raise self._cannot(Ability.CABLE, name)
        return self._platform

    def _cannot(self, ability: Ability, name: str) -> ComposeError:
        return ComposeError(f"platform {self._platform.name!r} cannot {ability.value}", node=name)

    def _node(self, name: str) -> Node:
        return self._platform.deployment.node(name)
