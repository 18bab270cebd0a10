# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet modules share: their arguments, and one call into the engine. PRIVATE to the collection."""

from __future__ import annotations

import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..composition.model import Deployment
from ..errors import ComposeError
from ..masking import Mask
from ..platforms.base import Platform
from ..platforms.registry import PLATFORMS
from ..progress import Progress
from .engine import Engine
from .lock import deployment_lock
from .parcel import Parcel

Act = t.Callable[[Engine, AnsibleModule], dict[str, t.Any]]

#: Filled in by the action plugin of the same name from the inventory and the batch.
FLEET_SPEC: dict[str, t.Any] = {
    "parcel": {"type": "path", "required": True},
}


def run_step(
    step: str, act: Act, extra: t.Mapping[str, t.Any] | None = None, *, changes: bool = True, **rules: t.Any
) -> None:
    """The body of a fleet module.

    :param step: name of the step, for messages.
    :param act: the one call into the engine; its result is the module's.
    :param extra: further arguments.
    :param rules: what :class:`AnsibleModule` takes to tell which arguments go together.
    :param changes: the step changes something: it is not run in check mode, and holds the deployment's lock.
    """
    module = AnsibleModule({**FLEET_SPEC, **(extra or {})}, supports_check_mode=True, **rules)
    try:
        parcel = Parcel.take(module.params["parcel"])
    except ComposeError as error:
        module.fail_json(msg=f"{step}: {error}")
    deployment = parcel.deployment
    mask = Mask.of(deployment, _secret_credentials(deployment))
    if changes and module.check_mode:
        module.exit_json(changed=False, skipped_reason="check mode")
    os.umask(0o077)
    with Progress(parcel.progress_file, mask.text) as progress:
        try:
            engine = Engine(deployment, parcel.batch, parcel.support.directory(), progress, parcel.source())
            if changes:
                with deployment_lock(deployment.state, progress):
                    result = act(engine, module)
            else:
                result = act(engine, module)
        except ComposeError as error:
            error.step = error.step or step
            failed = {"msg": str(error), "failure": error.failure}
        except OSError as error:
            failed = {"msg": f"{step}: {error}", "exception": traceback.format_exc()}
        else:
            failed = {}
            result.setdefault("changed", False)
    if failed:
        module.fail_json(**mask.result(failed))
    module.exit_json(**mask.result(result))


def _secret_credentials(deployment: Deployment) -> list[str]:
    public = PLATFORMS.get(deployment.platform, Platform).public_credentials
    return [value for name, value in deployment.credentials.items() if name not in public]
