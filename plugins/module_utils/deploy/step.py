# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet modules share: their arguments, and one call into the engine. PRIVATE to the collection."""

from __future__ import annotations

import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ..builders.revision import Source
from ..composition.model import Deployment
from ..errors import ComposeError
from ..progress import Progress
from .engine import Engine
from .lock import deployment_lock
from .shipped import unpack

Act = t.Callable[[Engine, AnsibleModule], dict[str, t.Any]]

#: Filled in by the action plugin of the same name from the inventory and the batch.
FLEET_SPEC: dict[str, t.Any] = {
    "deployment": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "no_log": True, "default": {}},
    "credentials": {"type": "dict", "no_log": True, "default": {}},
    "batch": {"type": "list", "elements": "str", "required": True},
    "support": {"type": "dict", "required": True},
    "composition_source": {"type": "dict"},
    "progress_file": {"type": "path"},
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
    if changes and module.check_mode:
        module.exit_json(changed=False, skipped_reason="check mode")
    deployment = _deployment(module)
    progress = Progress(module.params["progress_file"], lambda text: remove_values(text, module.no_log_values))
    os.umask(0o077)
    try:
        support = _local(module.params["support"], deployment.state)
        engine = Engine(deployment, module.params["batch"], support, progress, _source(module, deployment.state))
        if changes:
            with deployment_lock(deployment.state, progress):
                result = act(engine, module)
        else:
            result = act(engine, module)
    except ComposeError as error:
        error.step = error.step or step
        module.fail_json(msg=str(error), failure=error.failure)
    except OSError as error:
        module.fail_json(msg=f"{step}: {error}", exception=traceback.format_exc())
    for warning in engine.desired.warnings:
        module.warn(warning)
    result.setdefault("changed", False)
    module.exit_json(**result)


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
