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
from ..files import write_text
from ..progress import Progress
from .engine import Engine
from .lock import deployment_lock

Act = t.Callable[[Engine, AnsibleModule], dict[str, t.Any]]

#: Filled in by the action plugin of the same name from the inventory and the batch.
FLEET_SPEC: dict[str, t.Any] = {
    "deployment": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "no_log": True, "default": {}},
    "batch": {"type": "list", "elements": "str", "required": True},
    "support": {"type": "dict", "required": True},
    "progress_file": {"type": "path"},
}


def run_step(step: str, act: Act, extra: t.Mapping[str, t.Any] | None = None, *, changes: bool = True) -> None:
    """The body of a fleet module.

    :param step: name of the step, for messages.
    :param act: the one call into the engine; its result is the module's.
    :param extra: further arguments.
    :param changes: the step changes something: it is not run in check mode, and holds the deployment's lock.
    """
    module = AnsibleModule({**FLEET_SPEC, **(extra or {})}, supports_check_mode=True)
    if changes and module.check_mode:
        module.exit_json(changed=False, skipped_reason="check mode")
    deployment = _deployment(module)
    progress = Progress(module.params["progress_file"])
    os.umask(0o077)
    try:
        engine = Engine(deployment, module.params["batch"], _support(module, deployment.state), progress)
        if changes:
            with deployment_lock(deployment.state, progress):
                result = act(engine, module)
        else:
            result = act(engine, module)
    except ComposeError as error:
        error.step = error.step or step
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{step}: {error}", exception=traceback.format_exc())
    result.setdefault("changed", False)
    module.exit_json(**result)


def _deployment(module: AnsibleModule) -> Deployment:
    data = dict(module.params["deployment"])
    secrets = module.params["secrets"]
    data["nodes"] = [{**node, "secrets": secrets.get(node["name"], {})} for node in data["nodes"]]
    return Deployment.from_json(data)


def _support(module: AnsibleModule, state: str) -> str:
    """Directory of the collection's data files on this host; they come along as text where it is another host."""
    support = module.params["support"]
    if support.get("path"):
        return str(support["path"])
    directory = os.path.join(state, "support", str(support["digest"]))
    if not os.path.isdir(directory):
        for name, text in support["files"].items():
            write_text(os.path.join(directory, name), text)
    return directory
