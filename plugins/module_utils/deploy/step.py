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
from ansible.module_utils.common.parameters import remove_values

from ..builders.revision import Source
from ..composition.model import Deployment
from ..errors import ComposeError
from ..progress import Progress
from .engine import Engine
from .journal import JournalFile
from .lease import Lease, Run
from .lock import deployment_lock
from .shipped import unpack
from .transaction import Transaction

Act = t.Callable[[Engine, AnsibleModule], dict[str, t.Any]]

#: Filled in by the action plugin from the inventory and the batch.
FLEET_SPEC: dict[str, t.Any] = {
    "deployment": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "no_log": True, "default": {}},
    "credentials": {"type": "dict", "no_log": True, "default": {}},
    "batch": {"type": "list", "elements": "str", "required": True},
    "absent": {"type": "list", "elements": "str", "default": []},
    "run": {"type": "dict", "required": True},
    "support": {"type": "dict", "required": True},
    "composition_source": {"type": "dict"},
    "progress_file": {"type": "path"},
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
    needs = claim(module.params)
    if module.check_mode and needs is not Claim.NONE:
        if not predicts:
            module.exit_json(changed=False, skipped_reason="check mode")
        needs = Claim.NONE
    deployment = _deployment(module)
    progress = Progress(module.params["progress_file"], lambda text: remove_values(text, module.no_log_values))
    os.umask(0o077)
    try:
        support = _local(module.params["support"], deployment.state)
        engine = Engine(deployment, module.params["batch"], support, progress, _source(module, deployment.state))
        with _claimed(engine, needs, Run(**module.params["run"])):
            result = act(engine, module)
    except ComposeError as error:
        error.step = error.step or step
        module.fail_json(msg=str(error), failure=error.failure)
    except OSError as error:
        module.fail_json(msg=f"{step}: {error}", exception=traceback.format_exc())
    result.setdefault("changed", False)
    module.exit_json(**result)


@contextmanager
def _claimed(engine: Engine, needs: Claim, run: Run) -> t.Iterator[None]:
    """The deployment is this run's while the body runs, as far as the step needs that."""
    lease = Lease(engine.state, run, engine.progress)
    if needs is Claim.NONE:
        yield
        return
    if needs in (Claim.STEP, Claim.BEGIN):
        ends = lease.take() and needs is Claim.STEP
    else:
        lease.require()
        engine.act_on(JournalFile(engine.state).read().plan.batch)
        ends = needs is Claim.END
    try:
        with lease.kept(), deployment_lock(engine.state, engine.progress):
            yield
    except (ComposeError, OSError) as error:
        if needs is Claim.GO_ON:
            Transaction(engine).give_up(str(error))
        ends = ends or needs is Claim.BEGIN
        raise
    finally:
        if ends:
            lease.end()


def _deployment(module: AnsibleModule) -> Deployment:
    data = dict(module.params["deployment"])
    secrets = module.params["secrets"]
    data["nodes"] = [{**node, "secrets": secrets.get(node["name"], {})} for node in data["nodes"]]
    data["credentials"] = {**data.get("credentials", {}), **module.params["credentials"]}
    return Deployment.from_json(data)


def _local(directory: t.Mapping[str, t.Any], state: str) -> str:
    """A directory of the controller on this host, which may be another one."""
    return str(directory["path"]) if directory.get("path") else unpack(directory, os.path.join(state, "shipped"))


def _source(module: AnsibleModule, state: str) -> Source | None:
    """The composition, if it came along."""
    packed = module.params["composition_source"]
    return Source(_local(packed, state), packed["revision"]) if packed else None
