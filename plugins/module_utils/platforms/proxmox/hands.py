# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that are switched off and on while a test script runs. PRIVATE to the collection."""

from __future__ import annotations

from ...errors import ComposeError
from ...model.deployment import Node
from ..hands import HasPower
from .service import Service
from .vm import Vm


class SwitchesVms(HasPower):
    """By the API; of VMs under high availability, by that."""

    service: Service

    def is_on(self, node: Node) -> bool:
        return self._vm(node).is_running()

    def turn_on(self, node: Node) -> None:
        vm = self._vm(node)
        if not vm.is_running():
            vm.start()

    def turn_off(self, node: Node, *, hard: bool) -> None:
        vm = self._vm(node)
        if hard:
            vm.cut_power()
        else:
            vm.stop()

    def _vm(self, node: Node) -> Vm:
        vm = self.service.find(node.name)
        if vm is None:
            raise ComposeError("has no VM", node=node.name)
        return vm
