# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps by name: what each fleet module calls, and what it needs of the deployment. PRIVATE to the collection."""

from __future__ import annotations

import enum
import os
import typing as t
from dataclasses import dataclass

from ..model.findings import Audited, Drifted
from ..model.step import StepResult
from .engine import Engine, Given
from .planning import Wish
from .transaction import Transaction


class Claim(enum.Enum):
    """What a step needs of the deployment."""

    #: It only reads, and queues behind nobody.
    NONE = "none"
    #: It reads, and may find that it has to take the deployment for a while.
    MAYBE = "maybe"
    #: It changes something by itself: it takes the deployment, and gives it free at its end.
    STEP = "step"
    #: It begins a run that changes something: it takes the deployment for the steps that follow.
    BEGIN = "begin"
    #: It goes on with what its run has begun, and is refused if others came in between.
    GO_ON = "go on"
    #: It ends what its run has begun.
    END = "end"


@dataclass(frozen=True)
class Call:
    """What the task says."""

    #: Checked by Ansible against the module's specification.
    params: t.Mapping[str, t.Any]
    check_mode: bool

    @property
    def planned(self) -> bool:
        """Whether it goes on with a plan."""
        return self.params["plan"] is not None


@dataclass(frozen=True)
class Step:
    """One of them."""

    #: The one call into the engine; its result is the module's.
    act: t.Callable[[Engine, Call], StepResult]
    #: What it needs of the deployment; in check mode that is nothing.
    claim: t.Callable[[Call], Claim]
    #: It knows what it would do, and is run in check mode.
    predicts: bool = False
    #: What it acts on ends, whatever half-made thing it finds.
    forgets: bool = False


def _always(claim: Claim) -> t.Callable[[Call], Claim]:
    return lambda call: claim


# What only one step needs is imported when it is taken: each step is a process of its own, and of a deployment that has
# nothing to do, a third of the time was spent on importing.


def _audit(engine: Engine, call: Call) -> StepResult:
    from .audit import audit

    return _kept(engine, audit(engine, call.params["advisories"]), call)


def _drift(engine: Engine, call: Call) -> StepResult:
    from .drift import drift

    return _kept(engine, drift(engine, call.params["ignore"]), call)


def _kept(engine: Engine, result: Drifted | Audited, call: Call) -> StepResult:
    from .page import keep

    if not call.check_mode:
        keep(engine, result)
    return result


def _page(engine: Engine, call: Call) -> StepResult:
    from .page import write_page

    return write_page(engine, pretend=call.check_mode)


def _push(engine: Engine, call: Call) -> StepResult:
    from .follow import push

    return push(engine, pretend=call.check_mode)


def _destroy(engine: Engine, call: Call) -> StepResult:
    from .removal import destroy

    return destroy(engine, data=call.params["data"], pretend=call.check_mode)


def _rotate(engine: Engine, call: Call) -> StepResult:
    from .rotation import rotate

    return rotate(engine, pretend=call.check_mode)


def _verify(engine: Engine, call: Call) -> StepResult:
    if call.planned:
        return Transaction(engine).verify()
    if call.params["drift"]:
        from .drift import verify_and_drift

        return verify_and_drift(engine, call.params["release"], call.params["drift_ignore"], pretend=call.check_mode)
    from .looking import run_script, verify

    release, script = call.params["release"], call.params["script"]
    if script is None:
        return verify(engine, release, pretend=call.check_mode)
    given = Given(call.params["values"], call.params["verify_timeout"], call.params["checks"])
    return run_script(engine, release, script, given, pretend=call.check_mode)


def _export(engine: Engine, call: Call) -> StepResult:
    from .nxc_export import export

    directory = call.params["directory"] or os.path.join(engine.state, "nxc")
    return export(engine, directory, call.params["flavour"] or "", write=not call.check_mode)


STEPS: t.Mapping[str, Step] = {
    "audit": Step(_audit, _always(Claim.NONE)),
    "drift": Step(_drift, _always(Claim.NONE)),
    "config": Step(_push, _always(Claim.STEP), predicts=True),
    "keys": Step(_rotate, _always(Claim.STEP), predicts=True),
    "info": Step(lambda engine, call: engine.evaluated(), _always(Claim.NONE)),
    "evaluate": Step(lambda engine, call: engine.write_evaluated(pretend=call.check_mode), _always(Claim.NONE)),
    "lock": Step(lambda engine, call: engine.lock(write=not call.check_mode), _always(Claim.STEP), predicts=True),
    "destroy": Step(_destroy, _always(Claim.STEP), predicts=True, forgets=True),
    "page": Step(_page, _always(Claim.NONE)),
    "plan": Step(
        lambda engine, call: Transaction(engine).plan(
            Wish(call.params["release"], call.params["replace"], call.params["retire"]),
            hold=call.params["hold"] and not call.check_mode,
            predict=call.check_mode,
        ),
        lambda call: Claim.BEGIN if call.params["hold"] else Claim.NONE,
        predicts=True,
    ),
    "build": Step(
        lambda engine, call: (
            Transaction(engine).build(reproducible=call.params["reproducible"])
            if call.planned
            else engine.build(call.params["formats"], reproducible=call.params["reproducible"])
        ),
        lambda call: Claim.GO_ON if call.planned else Claim.STEP,
    ),
    "reproduce": Step(lambda engine, call: engine.reproduce(), _always(Claim.STEP)),
    "stage": Step(lambda engine, call: Transaction(engine).stage(), _always(Claim.GO_ON)),
    "switch": Step(lambda engine, call: Transaction(engine).switch(), _always(Claim.GO_ON)),
    "verify": Step(_verify, lambda call: Claim.GO_ON if call.planned else Claim.MAYBE),
    "settle": Step(
        lambda engine, call: Transaction(engine).settle(keep_failed=call.params["keep_failed"]), _always(Claim.END)
    ),
    "nxc_export": Step(_export, _always(Claim.NONE)),
}
