# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another login key and another CA for a deployment, by runs like any other. PRIVATE to the collection.

As long as there are new ones beside the old (:attr:`.keys.Keys.new`), documents let both in, and the old ones are used:
whatever happens to a run, nobody is locked out. A run that has verified all nodes, at each of which the new key has
logged in, ends with the new ones in their place, and tells the nodes. One that goes back drops them.
"""

from __future__ import annotations

from dataclasses import replace

from ..model.boot import Seen
from ..model.journal import Verified
from ..model.result import NodeResult, Problem
from ..model.step import Fared
from ..platforms.base import per_node
from ..platforms.problems import noting, refuse
from ..progress import listed
from .engine import Engine

#: Nodes that are logged in to at the same time.
PARALLEL = 32


def rotate(engine: Engine, *, pretend: bool) -> Fared:
    """Make new ones. Nodes are told by the run that goes on from there.

    :param pretend: only see whether that is possible.
    :raises ComposeError: it is not, and nothing was touched.
    """
    left_out = [node.name for node in engine.deployment.nodes if node not in engine.nodes]
    if left_out:
        refuse(
            [
                Problem(
                    f"login key and CA are those of all nodes of {engine.deployment.name!r}, and this run leaves out "
                    f"{listed(left_out)}, which would let in the old ones only: run it without --limit, and with an "
                    "inventory that has all of them"
                )
            ]
        )
    begun = engine.keys.new is not None
    problems = list(engine.platform.check(engine.nodes))
    for node in engine.nodes:
        with noting(problems, node.name):
            engine.documents.require_secrets(node)
    if not begun:  # else a run that was killed may have left them in any state
        observed = engine.platform.observe(engine.nodes)
        problems += [
            Problem(f"the node {why}", node=node.name, remedy="deploy first: keys are changed where all is well")
            for node in engine.nodes
            for why in [_unfit(observed[node.name])]
            if why
        ]
    refuse(problems)
    if begun:
        engine.progress.say("keys: going on with the new login key and CA that an earlier run has made")
    elif not pretend:
        engine.keys.make_new()
        engine.progress.say("keys: there are a new login key and a new CA; the old ones stay until all nodes take them")
    return Fared(not begun, {node.name: NodeResult(changed=not begun) for node in engine.nodes}, [])


def _unfit(seen: Seen) -> str:
    """Why a node is not as it was verified; empty if it is."""
    if seen.state == "absent":
        return "does not exist"
    if seen.state != "running":
        return f"is {seen.state}"
    return "" if seen.identity == seen.verified else "runs what was never verified"


def prove(engine: Engine, verified: Verified) -> Verified:
    """What was found, and at which of the nodes the new key does not log in. Without new keys, nobody is asked."""
    from ..nodes.connection import HANDSHAKE, Connection  # with paramiko, which most steps do without

    new = engine.keys.new
    if new is None:
        return verified

    def act(name: str) -> NodeResult:
        endpoint = engine.platform.endpoint(engine.deployment.node(name))
        connection = Connection(name, endpoint, engine.keys.public_host_key(name), new.identity_file)
        try:
            connection.open(HANDSHAKE)
        finally:
            connection.close()
        return NodeResult()

    well = [name for name, result in verified.nodes.items() if result.ok]
    with engine.progress.waiting(lambda: "logging in with the new key"):
        outcomes = per_node(well, act, lambda name, outcome: None, step="verify", parallel=PARALLEL)
    refused = {name: outcome.message for name, outcome in outcomes.items() if not outcome.ok}
    nodes = {
        name: replace(result, ok=False, message=f"the new login key does not log in: {refused[name]}")
        if name in refused
        else result
        for name, result in verified.nodes.items()
    }
    return replace(verified, nodes=nodes, failed=verified.failed + len(refused))


def finish(engine: Engine, number: int) -> dict[str, NodeResult]:
    """Let the new ones take the place of the old, and see that no node lets those in any more.

    :param number: of the release that all nodes were verified for.
    :returns: nodes that still do, by name. The next run tells them.
    """
    engine.take_new_keys()
    engine.progress.say("keys: the new login key and CA have taken the place of the old ones")
    engine.write_access()
    told = engine.documents.refresh(engine.nodes)
    engine.platform.commit([node for node in engine.nodes if told[node.name].ok], number)
    return {
        name: replace(outcome, message=f"settle: it lets the old login key in until the next run: {outcome.message}")
        for name, outcome in told.items()
        if not outcome.ok
    }
