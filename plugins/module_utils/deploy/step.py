# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet modules share: their arguments, and one call into the engine. PRIVATE to the collection."""

from __future__ import annotations

import enum
import os
import traceback
import typing as t
from contextlib import contextmanager

from ansible.module_utils.basic import AnsibleModule

from ..describe.held import HeldAddresses
from ..describe.state import StateDirectory
from ..errors import ComposeError
from ..model import codec
from ..model.deployment import Deployment
from ..model.step import StepFailure, StepResult
from ..platforms.base import Platform
from ..platforms.registry import PLATFORMS
from ..progress import Progress
from .engine import Engine
from .journal import JournalFile
from .lease import Lease
from .masking import Mask
from .parcel import Parcel
from .run import Run
from .transaction import Transaction

Act = t.Callable[[Engine, AnsibleModule], StepResult]

#: Filled in by the action plugin of the same name from the inventory and the batch.
FLEET_SPEC: dict[str, t.Any] = {
    "parcel": {"type": "path", "required": True},
}


class Claim(enum.Enum):
    """What a step needs of the deployment."""

    #: It only reads, and queues behind nobody.
    NONE = "none"
    #: It changes something by itself: it takes the deployment, and gives it free at its end.
    STEP = "step"
    #: It begins a run that changes something: it takes the deployment for the steps that follow.
    BEGIN = "begin"
    #: It goes on with what its run has begun, and is refused if others came in between.
    GO_ON = "go on"
    #: It ends what its run has begun.
    END = "end"


def run_step(
    step: str,
    act: Act,
    extra: t.Mapping[str, t.Any] | None = None,
    *,
    claim: t.Callable[[t.Mapping[str, t.Any]], Claim],
    predicts: bool = False,
    **rules: t.Any,
) -> None:
    """The body of a fleet module.

    :param step: name of the step, for messages.
    :param act: the one call into the engine; its result is the module's.
    :param extra: further arguments.
    :param claim: what the step needs of the deployment, by the module's arguments; in check mode that is nothing.
    :param predicts: it knows what it would do, and is run in check mode.
    :param rules: what :class:`AnsibleModule` takes to tell which arguments go together.
    """
    module = AnsibleModule({**FLEET_SPEC, **(extra or {})}, supports_check_mode=True, **rules)
    try:
        parcel = Parcel.take(module.params["parcel"])
    except ComposeError as error:
        module.fail_json(msg=f"{step}: {error}")
    mask = Mask.of(parcel.deployment, _secret_credentials(parcel.deployment))
    needs = claim(module.params)
    if module.check_mode and needs is not Claim.NONE:
        if not predicts:
            module.exit_json(changed=False, skipped_reason="check mode")
        needs = Claim.NONE
    os.umask(0o077)
    warnings: t.Sequence[str] = ()
    failure: StepFailure | None
    with Progress(parcel.progress_file, mask.text) as progress:
        try:
            StateDirectory(parcel.deployment).require()
            engine = Engine(
                HeldAddresses.read(parcel.deployment.state).settle(parcel.deployment),
                parcel.batch,
                parcel.support.directory(),
                progress,
                parcel.source(),
                parcel.absent,
            )
            with _claimed(engine, needs, parcel.run):
                result = act(engine, module)
        except ComposeError as error:
            error.step = error.step or step
            failure = StepFailure(str(error), error.failure)
        except OSError as error:
            failure = StepFailure(f"{step}: {error}", exception=traceback.format_exc())
        else:
            failure = None
            warnings = engine.desired.warnings
    for warning in warnings:
        module.warn(mask.text(warning))
    if failure:
        module.fail_json(**mask.result(codec.encode(failure)))
    module.exit_json(**mask.result(codec.encode(result)))


@contextmanager
def _claimed(engine: Engine, needs: Claim, run: Run) -> t.Iterator[None]:
    """The deployment is this run's while the body runs, as far as the step needs that."""
    lease = Lease(engine.state, run, engine.progress)
    state = StateDirectory(engine.deployment)
    if needs is Claim.BEGIN:
        # What is refused must leave nothing behind.
        engine.claim = _begun(state, lease)
        yield
    elif needs is Claim.STEP:
        state.claim()
        with lease.taken():
            yield
    elif needs is not Claim.NONE:
        lease.require()
        engine.act_on(JournalFile(engine.state).read().plan.batch)
        try:
            with lease.kept(ends=needs is Claim.END):
                yield
        except (ComposeError, OSError) as error:
            if needs is Claim.GO_ON:
                Transaction(engine).give_up(str(error))
            raise
    else:
        yield


@contextmanager
def _begun(state: StateDirectory, lease: Lease) -> t.Iterator[None]:
    state.claim()
    with lease.begun():
        yield


def _secret_credentials(deployment: Deployment) -> list[str]:
    public = PLATFORMS.get(deployment.platform, Platform).public_credentials
    return [value for name, value in deployment.credentials.items() if name not in public]
