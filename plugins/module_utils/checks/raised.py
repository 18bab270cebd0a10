# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test scripts get to see raised, under the names that NixOS's driver has for it. PRIVATE to the collection."""

from __future__ import annotations

import builtins
import sys
import types
import typing as t

from ..errors import ComposeError
from .wire import ASKED, MACHINE, Fault


class TestScriptError(ComposeError):
    """The test script failed, and no program is to blame for it."""

    __test__ = False

    def __init__(
        self,
        message: object = "",
        *,
        node: str | None = None,
        command: str | None = None,
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(str(message), node=node)
        self.command = command
        self.returncode = returncode
        self.output = output

    def __str__(self) -> str:
        return self.message


class RequestedAssertionFailed(TestScriptError):
    """What was asked for is not so."""


class MachineError(TestScriptError):
    """A node cannot be reached, or its machine does not do what was asked."""


class PollingConditionError(Exception):
    """What was to hold all the time does not."""


_OWN = {ASKED: RequestedAssertionFailed, MACHINE: MachineError}


def exception(fault: Fault) -> Exception:
    """What to raise for a method that failed."""
    kind = _OWN.get(fault.kind)
    if kind is not None:
        return kind(
            fault.message, node=fault.node, command=fault.command, returncode=fault.returncode, output=fault.output
        )
    python = getattr(builtins, fault.kind, None)
    if isinstance(python, type) and issubclass(python, Exception):
        return python(fault.message)
    return MachineError(f"{fault.kind}: {fault.message}", node=fault.node)


def offer(machine: type, retry: t.Callable[..., None]) -> None:
    """Let scripts import these as they would of NixOS's driver.

    :param machine: the class of machines.
    """
    package = types.ModuleType("test_driver")
    package.__path__ = []
    machines = types.ModuleType("test_driver.machine")
    for name in ("BaseMachine", "Machine", "NspawnMachine", "QemuMachine"):
        setattr(machines, name, machine)
    setattr(machines, "retry", retry)  # noqa: B010
    errors = types.ModuleType("test_driver.errors")
    for kind in (TestScriptError, RequestedAssertionFailed, MachineError):
        setattr(errors, kind.__name__, kind)
    polling = types.ModuleType("test_driver.polling_condition")
    setattr(polling, PollingConditionError.__name__, PollingConditionError)
    for module in (package, machines, errors, polling):
        sys.modules[module.__name__] = module
