# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways by which Kadeploy is asked, behind one interface. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod

from .outcome import Order, Outcome, UnderWay


class Backend(ABC):
    """Kadeploy, in the name of a user.

    Deployments have identifiers, by which they are found again after a run was killed.
    """

    #: In words: ``Kadeploy at http://frontend:25300``.
    where: str

    @abstractmethod
    def nodes(self) -> list[str]:
        """The names of all machines that there are."""

    @abstractmethod
    def rehearse(self, order: Order) -> None:
        """See whether a deployment would be refused, as far as that can be asked.

        :raises KadeployError: it would be.
        """

    @abstractmethod
    def deploy(self, order: Order) -> str:
        """Begin a deployment; its identifier.

        :raises KadeployError: it was refused, and nothing was begun.
        """

    @abstractmethod
    def under_way(self) -> list[UnderWay]:
        """The deployments of this user that are not forgotten yet."""

    @abstractmethod
    def wait(self, identifier: str, asked: t.Sequence[str], deadline: float) -> Outcome:
        """The end of a deployment.

        :param asked: the machines of its order.
        :param deadline: seconds from now.
        :raises ComposeError: it goes on after the deadline; it is not cancelled.
        """

    @abstractmethod
    def forget(self, identifier: str) -> None:
        """Cancel a deployment if it goes on, and have it forgotten; one that is not known is forgotten already.

        Machines of a deployment that is cancelled would boot Kadeploy's own system again.
        """


class PowerBackend(Backend):
    """One by which machines can be switched off, and asked whether they are."""

    @abstractmethod
    def switch_off(self, nodes: t.Sequence[str], deadline: float) -> Outcome:
        """Switch machines off, to the end.

        :param deadline: seconds for that.
        """

    @abstractmethod
    def are_off(self, nodes: t.Sequence[str], deadline: float) -> set[str]:
        """Those of the machines that are switched off, as far as their management answers.

        :param deadline: seconds for that.
        """

    @abstractmethod
    def await_power(self, nodes: t.Collection[str], deadline: float) -> None:
        """Wait until nothing that was begun for this user switches these machines, or asks whether they are on.

        They are left out of a deployment meanwhile.

        :param deadline: seconds for that.
        """
