# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says to the next jobs of a workflow, as ``set_stats`` says it. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.immutable.compose.plugins.module_utils.model.plan import SWITCHED

#: Their names begin with this: a workflow gives them to its next jobs as extra variables, which win over all others.
PREFIX = "immutable_"
#: Steps that say who is not as it should be. What is kept or replaced, a deploy in the same run may say after them.
READERS = ("audit_info", "drift_info")


def has_last_word(module: str, args: t.Mapping[str, t.Any], *, check_mode: bool) -> bool:
    """Whether nothing that follows in the run says more of its nodes."""
    if module == "deployment_plan":
        return check_mode or not boolean(args.get("hold") or False)
    if module == "deployment_verify":
        return "plan" not in args
    return module in ("deployment_settle", *READERS)


def artifacts(
    module: str, result: t.Mapping[str, t.Any], planned: t.Mapping[str, t.Any], hosts: t.Sequence[str]
) -> dict[str, t.Mapping[str, t.Any]]:
    """What such a step adds to its result. Batches of a play add up: lists are joined, releases merged by deployment.

    :param planned: node → its part of the plan that the step goes on with.
    :param hosts: of the batch.
    """
    deployments, nodes = result["deployments"].values(), result["nodes"]
    drifted = {name for each in deployments for name in each.get("drifted", ())}
    failed = set(result["failed_nodes"])

    def fate(host: str) -> str:
        if host in drifted or host in failed:
            return "drifted" if host in drifted else "failed"
        if module in READERS:
            return ""
        node = nodes.get(host, {})
        booted = node.get("changed", node.get("action") in SWITCHED)
        return "replaced" if booted and planned.get(host, {}).get("action") != "refresh" else "kept"

    data: dict[str, t.Any] = {
        f"{PREFIX}{each}": [host for host in hosts if fate(host) == each]
        for each in ("replaced", "kept", "failed", "drifted")
    }
    data[f"{PREFIX}release"] = {name: each.get("release") for name, each in result["deployments"].items()}
    return {"ansible_stats": {"data": data, "per_host": False, "aggregate": True}}
