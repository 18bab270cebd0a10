# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step on one deployment: the parcel, the claim, the call into the engine, the end. PRIVATE to the collection."""

from __future__ import annotations

import os
import traceback
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

from ..describe.held import HeldAddresses
from ..describe.state import StateDirectory
from ..errors import ComposeError, in_words
from ..model import codec
from ..model.deployment import Deployment
from ..model.step import StepFailure
from ..platforms.base import Platform
from ..platforms.registry import PLATFORMS
from ..progress import Progress
from .engine import Engine
from .events import Events
from .journal import JournalFile
from .lease import Lease
from .masking import Mask
from .parcel import Parcel
from .steps import STEPS, Call, Claim
from .transaction import Transaction


@dataclass(frozen=True)
class Ended:
    """How the module ends."""

    failed: bool
    result: dict[str, t.Any]
    warnings: t.Sequence[str] = ()


def take(name: str, told: str, params: t.Mapping[str, t.Any], *, check_mode: bool) -> Ended:
    """Take a step of :data:`STEPS`.

    :param told: the parcel.
    :param params: arguments of the module.
    """
    step, call = STEPS[name], Call(params, check_mode)
    try:
        parcel = Parcel.from_text(told)
    except ComposeError as error:
        return Ended(True, {"msg": f"{name}: {error}"})
    mask = Mask.of(parcel.deployment, _secret_credentials(parcel.deployment))
    needs = step.claim(call)
    if check_mode and needs is not Claim.NONE:
        if not step.predicts and needs is not Claim.MAYBE:
            return Ended(False, {"changed": False, "skipped_reason": "check mode"})
        needs = Claim.NONE
    os.umask(0o077)
    events = Events(parcel.deployment.state, name, mask)
    with Progress(parcel.progress_file, mask.text, mask.stream) as progress:
        if needs in (Claim.BEGIN, Claim.GO_ON, Claim.END):
            progress.record = events.add
        try:
            StateDirectory(parcel.deployment).require()
            addresses = HeldAddresses.read(parcel.deployment.state, damaged=step.forgets)
            engine = Engine(
                addresses.settle(parcel.deployment),
                parcel.batch,
                parcel.support.directory(),
                progress,
                parcel.source(),
                parcel.absent,
                parcel.beside,
                addresses,
                parcel.carried,
            )
            with _claimed(engine, needs, parcel, events):
                result = step.act(engine, call)
                events.end(result)
        except ComposeError as error:
            error.step = error.step or name
            return _failed(mask, events, StepFailure(str(error), error.failure))
        except OSError as error:
            return _failed(mask, events, StepFailure(f"{name}: {in_words(error)}", exception=traceback.format_exc()))
    return Ended(False, mask.result(codec.encode(result)), [mask.text(warning) for warning in engine.desired.warnings])


def _failed(mask: Mask, events: Events, why: StepFailure) -> Ended:
    events.end(why)
    return Ended(True, mask.result(codec.encode(why)))


@contextmanager
def _claimed(engine: Engine, needs: Claim, parcel: Parcel, events: Events) -> t.Iterator[None]:
    """The deployment is this run's while the body runs, as far as the step needs that."""
    lease = Lease(engine.state, parcel.run, engine.progress)
    state = StateDirectory(engine.deployment)
    if needs is Claim.BEGIN:
        # What is refused must leave nothing behind.
        engine.claim = _begun(state, lease, events)
        yield
    elif needs is Claim.MAYBE:
        engine.claim = lease.taken()
        yield
    elif needs is Claim.STEP:
        state.claim()
        with lease.taken():
            yield
    elif needs is not Claim.NONE:
        lease.require()
        engine.act_on(JournalFile(engine.state).read().plan.batch)
        with lease.kept(ends=lambda: needs is Claim.END and not engine.paused):
            events.go_on()
            if parcel.problem:
                Transaction(engine).give_up(parcel.problem)
            if parcel.hooked:
                Transaction(engine).hooked(parcel.hooked)
            yield
    else:
        yield


@contextmanager
def _begun(state: StateDirectory, lease: Lease, events: Events) -> t.Iterator[None]:
    state.claim()
    with lease.begun():
        events.begin(lease.run)
        yield


def _secret_credentials(deployment: Deployment) -> list[str]:
    public = PLATFORMS.get(deployment.platform, Platform).public_credentials
    return [value for name, value in deployment.credentials.items() if name not in public]
