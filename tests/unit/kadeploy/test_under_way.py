# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has left that was killed while it deployed, on the stand-in."""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Seen
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import machines
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.platform import Kadeploy
from ansible_collections.immutable.compose.plugins.module_utils.platforms.ledger import Ledger

from .conftest import Serve
from .test_command import work_at
from .test_platform import platform, targets


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_resolve", lambda machine: f"192.0.2.{machine[-1]}")


def begun(chosen: Kadeploy, tmp_path: Path) -> None:
    """Kadeploy deploys, and whoever asked for that is gone."""
    found = targets(chosen, tmp_path)
    chosen.stage(found)
    for target in found:
        Ledger(chosen.state, target.node.name).intend(chosen._boot_of(target))
    for group in chosen._groups(found):
        chosen._site.store.put_documents(group.name, group.targets)
        chosen._site.deployer._begin(group)
    assert chosen._site.backend.under_way() != []


def removed(chosen: Kadeploy) -> dict[str, str]:
    """Remove all nodes, as another run: node → what went wrong."""
    again = Kadeploy(chosen.deployment, chosen.progress)
    outcomes = again.remove([node.name for node in again.deployment.nodes], data=False, tell=lambda *_told: None)
    return {name: outcome.message for name, outcome in outcomes.items() if not outcome.ok}


@pytest.mark.parametrize("backend", ["rest", "command"])
def test_machines_that_are_being_deployed_are_given_up(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    server = serve(pace=0.3)
    work_at(server, tmp_path / "home", monkeypatch)
    way = {"url": server.url} if backend == "rest" else {"backend": "command", "url": None, "user": None}
    chosen = platform(tmp_path, "sim-1", "sim-2", **way)
    begun(chosen, tmp_path)
    assert removed(chosen) == {}
    assert chosen._site.backend.under_way() == []
    assert {server.database.state(name)["state"] for name in ("sim-1", "sim-2")} == {"powered"}
    assert [path.name for path in (tmp_path / "served").glob("*/*.tgz")] == []


@pytest.mark.parametrize(("seen", "count"), [(Seen("running", "v1"), 1), (Seen("silent"), 2)])
def test_a_deployment_that_has_ended_meanwhile(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Seen, count: int
) -> None:
    server = serve()
    chosen = platform(tmp_path, "sim-1", "sim-2", url=server.url)
    server.faults._write([{"kind": "post_install", "machine": "sim-2", "times": 2}])
    begun(chosen, tmp_path)
    while not chosen._site.backend.under_way()[0].done:
        time.sleep(0.05)
    monkeypatch.setattr(Kadeploy, "_asked", lambda _self, names: dict.fromkeys(names, seen))
    told = Kadeploy(chosen.deployment, chosen.progress).boot(targets(chosen, tmp_path), lambda *_told: None)
    assert {name: each.ok for name, each in told.items()} == {"web1": True, "web2": count == 2}
    log = (server.state / "access.log").read_text()
    assert len(set(re.findall(r"/deployment/(D-[\w-]+)", log))) == count
    assert chosen._site.backend.under_way() == [] and list((tmp_path / "served").glob("*/*.tgz")) == []


def test_a_node_is_looked_for_where_it_was_being_moved_to(serve: Serve, tmp_path: Path) -> None:
    server = serve(pace=0.3)
    chosen = platform(tmp_path, "", url=server.url, machines=["sim-[1-3]"])
    (target,) = targets(chosen, tmp_path)
    Ledger(chosen.state, "web1").told(chosen._boot_of(target))
    assert chosen._bound == {"web1": "sim-1"}
    moved = replace(target.node, options={**target.node.options, "machine": "sim-3"})
    begun(platform(tmp_path, "sim-3", url=server.url), tmp_path)
    again = Kadeploy(chosen.deployment, chosen.progress)
    assert again._bound == {"web1": "sim-3"}, "what is under way there would be this node, too"
    assert again._placement.left([replace(target, node=moved)], {"sim-3"}) == {"sim-1": "web1"}
    assert removed(chosen) == {}
    assert {server.database.state(name)["state"] for name in ("sim-1", "sim-3")} == {"powered"}


def test_documents_of_runs_that_were_killed_are_removed(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1", url=serve(pace=0.3).url)
    begun(chosen, tmp_path)
    chosen._site.store.put_documents("compose-lab-web-of-before", {})

    def there() -> set[str]:
        return {path.name for path in (tmp_path / "served").glob("*/*.tgz")}

    (group,) = chosen._groups(targets(chosen, tmp_path))
    chosen.prune({"v1"})
    assert there() == {chosen._site.store.documents_url(group.name).rpartition("/")[2]}, "that is still needed"
    chosen._site.deployer.end(["sim-1"])
    chosen._site.store.put_documents(group.name, {})
    chosen.prune({"v1"})
    assert there() == set()


def test_a_boot_that_was_intended_is_read(tmp_path: Path, serve: Serve) -> None:
    chosen = platform(tmp_path, "sim-1", url=serve().url)
    (target,) = targets(chosen, tmp_path)
    ledger = Ledger(chosen.state, "web1")
    assert ledger.intended() is None
    ledger.intend(chosen._boot_of(target))
    assert t.cast(Boot, ledger.intended()).options["machine"] == "sim-1"
    (Path(ledger.directory) / "intended.json").write_text("half")
    assert ledger.intended() is None
