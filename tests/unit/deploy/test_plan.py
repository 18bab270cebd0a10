# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired − observed."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.plan import (
    Step,
    plan_node,
    render,
)
from ansible_collections.immutable.compose.plugins.module_utils.describe.document import (
    document_digest,
    needs_reboot,
    node_document,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Access

NODE = Node("web1", "web")
OTHER = Node("web2", "web")


def digest(*nodes: Node, host_key: str = "key", authorized: str = "me", node: Node = NODE) -> str:
    deployment = Deployment("d", "/c", "debian", "nspawn", nodes or (NODE,))
    access = Access(host_key, "cert", (authorized,))
    return document_digest(node_document(deployment, node, interfaces=(), access=access))


@pytest.mark.parametrize(
    ("observed", "action", "why"),
    [
        (Seen("absent"), "create", ["does not exist"]),
        (Seen("running", "new", digest()), "keep", []),
        (Seen("running", "old", digest()), "replace", ["another image"]),
        (Seen("stopped", "new", digest()), "replace", ["is stopped"]),
        (Seen("running", "new", digest(host_key="stolen")), "replace", ["another node document"]),
        (Seen("running", "new", digest(NODE, OTHER)), "refresh", ["other peers or keys"]),
        (Seen("running", "new", digest(authorized="you")), "refresh", ["other peers or keys"]),
        (Seen("running", "new", digest(), differs=("memory 512 → 768",)), "replace", ["memory 512 → 768"]),
        (Seen("running", "new", None), "replace", ["another node document"]),
    ],
)
def test_plan_node(observed: Seen, action: str, why: list[str]) -> None:
    step = plan_node(NODE, "new", digest(), observed)
    assert (step.action, step.why) == (action, why)


def test_a_parameter_needs_a_reboot_but_a_peer_does_not() -> None:
    assert needs_reboot(digest(), digest(node=Node("web1", "web", parameters={"debug": True})))
    assert not needs_reboot(digest(), digest(NODE, OTHER))


def test_the_rendered_plan_shows_nodes_and_packages() -> None:
    steps = {
        "web1": Step("replace", "web", "new", "old", ["another image"]),
        "web2": Step("keep", "web", "new", "new"),
        "gone": Step("retire", "", None, "old", ["not part of the deployment any more"]),
    }
    nodes, packages = render(steps, {"web": {"nginx": ["1.0", "1.1"]}})
    assert "gone: old" in nodes.before
    assert "gone: nothing (retire: not part of the deployment any more)" in nodes.after
    assert "web1: new (replace: another image)" in nodes.after
    assert (packages.before, packages.after) == ("nginx 1.0\n", "nginx 1.1\n")


def test_nothing_to_do_renders_nothing() -> None:
    assert render({"web1": Step("keep", "web", "new", "new")}, {}) == []
