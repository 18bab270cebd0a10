# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are stopped and forgotten because somebody says so. PRIVATE to the collection."""

from __future__ import annotations

from ..model import codec
from ..model.result import NodeResult
from ..model.step import Fared
from .engine import Engine
from .guests import end_guests
from .results import any_changed, failed
from .service import Service
from .settlement import require


def destroy(engine: Engine, *, data: bool, pretend: bool = False) -> Fared:
    """Stop and forget the batch; with the last node also what the nodes shared.

    Nodes that are no part of the deployment any more go with the last one, but never their data: nobody named them.

    :param data: remove the data volumes of the batch, too.
    :param pretend: only say what would go.
    """
    with codec.forgiving():  # what a newer version has released may have more to it than is removed here
        engine.releases.current()
    batch = [node.name for node in engine.nodes]
    members = {node.name for node in engine.deployment.nodes}
    observed = engine.platform.observe(engine.nodes)
    whole = set(batch) == members
    if engine.absent:
        names = ", ".join(sorted(engine.absent))
        engine.progress.say(f"destroy: not in the inventory of this run, and left as they are: {names}")
    strangers = sorted(set(observed) - members) if whole else []
    # What was only staged is no node yet, but is there.
    there = {name for name, seen in observed.items() if seen.state != "absent" or seen.leftovers}
    gone = [name for name in strangers if name in there]
    end_guests(engine.state, [name for name in (*batch, *gone) if name in there], observed)
    # A node that is gone may have left its data.
    named = [name for name in batch if data or name in there]
    volumes = engine.platform.volumes([*named, *gone])
    for name in named:
        for volume in volumes.get(name, ()):
            engine.progress.say(
                f"destroy {name}: {'removes' if data else 'keeps'} its data volume {volume.name!r} ({volume.place})"
            )
    for name in strangers:
        for volume in volumes.get(name, ()):
            engine.progress.say(
                f"destroy {name}: keeps its data volume {volume.name!r} ({volume.place}): the node was not named"
            )
    last = there <= {*named, *gone}
    if pretend:
        going = [name for name in named if name in there or volumes.get(name)]
        shares = engine.platform.shares() if last else []
        for what in (*going, *gone, *shares):
            engine.progress.say(f"destroy {what}: would be removed")
        would = {name: NodeResult(changed=name in going) for name in batch}
        return Fared(bool(going or gone or shares), would, [])
    outcomes: dict[str, NodeResult] = {}
    outcomes.update(engine.platform.remove(named, data=data, tell=engine.teller("destroy", named)))
    outcomes.update(engine.platform.remove(gone, data=False, tell=engine.teller("destroy", gone)))
    engine.addresses.forget(name for name in (*batch, *gone) if name not in outcomes or outcomes[name].ok)
    Service(engine.state, engine.deployment.hooks).enters(named)
    shared = False
    if last and all(outcome.ok for outcome in outcomes.values()):
        shared = bool(engine.platform.shares())
        engine.platform.teardown()
        engine.addresses.forget_all()
    require({name: outcome for name, outcome in outcomes.items() if name in gone})
    nodes = {**dict.fromkeys(batch, NodeResult()), **outcomes}
    return Fared(any_changed(nodes) or shared, nodes, failed(nodes))
