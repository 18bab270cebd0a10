# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of every fleet module: its arguments, and the step of the same name. PRIVATE to the collection.

Ansible packs all that a module imports, anew for each task, and the module's host compiles all of it, anew each time:
that took longer than most steps. So a fleet module imports no more than this file; the rest is imported by name, from a
place that the parcel names in its first line: the collection itself, or what was sent of it once.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import typing as t

from ansible.module_utils.basic import AnsibleModule

from .shipped import Place

#: Filled in by the action plugin of the same name from the inventory and the batch.
FLEET_SPEC: dict[str, t.Any] = {
    "parcel": {"type": "path", "required": True},
}

#: What only the memory of the controller has: nothing to remove.
_MEMORY = "/proc/"


def run_step(step: str, extra: t.Mapping[str, t.Any] | None = None, **rules: t.Any) -> None:
    """Take the step, and end as a module.

    :param step: a name of deploy/steps.py.
    :param extra: further arguments.
    :param rules: what :class:`AnsibleModule` takes to tell which arguments go together.
    """
    module = AnsibleModule({**FLEET_SPEC, **(extra or {})}, supports_check_mode=True, **rules)
    try:
        place, parcel = _opened(module.params["parcel"])
        _find_code(place)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{step}: what the controller sent cannot be read: {error}")
    ended = importlib.import_module(f"{__package__}.deploy.step").take(
        step, parcel, module.params, check_mode=bool(module.check_mode)
    )
    # All that the step has made ends with this process, now. With many nodes, looking for garbage in it, as Python does
    # at its end, took a twentieth of the time of a step.
    gc.freeze()
    for warning in ended.warnings:
        module.warn(warning)
    if ended.failed:
        module.fail_json(**ended.result)
    module.exit_json(**ended.result)


def _opened(path: str) -> tuple[Place, str]:
    """Where the code is, and what the step is told. The file, which may hold secrets, is removed before all else."""
    try:
        with open(path, encoding="utf-8") as stream:
            return Place(*json.loads(stream.readline())), stream.readline()
    finally:
        if not path.startswith(_MEMORY) and os.path.exists(path):
            os.unlink(path)


def _find_code(place: Place) -> None:
    """Let Python find the rooms of this package where the controller says that they are."""
    # What is compiled is kept for the next step: beside what was sent, which is removed with it; else apart from the
    # collection, which may be read-only, or another user's. PYTHONDONTWRITEBYTECODE, which containers like to set, is
    # about directories of sources.
    if not place.name:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        sys.pycache_prefix = os.path.join(cache, "immutable.compose")
    sys.dont_write_bytecode = False
    sys.modules[__package__].__path__.append(place.directory())
