# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of the engine on a platform that only records: what it is told, in which order, after a kill as well."""

from __future__ import annotations

import pytest

from .conftest import Rack, Site


def test_staging_and_switching_are_told_the_same(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}
    for step in ("stage", "switch"):
        method = getattr(Rack, step)

        def note(self: Rack, targets: object, *rest: object, step: str = step, method: object = method) -> object:
            told[step] = targets
            return method(self, targets, *rest)  # type: ignore[operator]

        monkeypatch.setattr(Rack, step, note)
    rack.deploy()
    assert [(target.node.name, target.image.identity) for target in told["stage"]] == [  # type: ignore[attr-defined]
        ("web1", "v1"),
        ("web2", "v1"),
        ("web3", "v1"),
    ]
    assert told["stage"] == told["switch"]


def test_only_what_is_switched_is_staged(rack: Site) -> None:
    rack.deploy()
    rack.machines["web2"].running = False
    assert rack.deploy()["settle"]["release"] == 1
    assert rack.called("stage", "switch") == [("stage", "web2"), ("switch", "web2")]


def test_the_platform_is_told_the_release_after_it_was_recorded(rack: Site) -> None:
    rack.deploy()
    assert rack.called("commit") == [("commit", "1", "web1", "web2", "web3")]
    rack.means["web"] = "v2"
    assert rack.deploy()["settle"]["release"] == 2
    assert rack.called("commit") == [("commit", "2", "web1", "web2", "web3")]


class KilledError(Exception):
    pass


def test_a_run_that_is_killed_before_nodes_are_marked_is_finished(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rack.deploy()
    rack.means["web"] = "v2"

    def kill(*_args: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Rack, "commit", kill)
        rack.deploy()
    assert {machine.verified.image.identity for machine in rack.machines.values() if machine.verified} == {"v1"}
    done = rack.deploy()["settle"]
    assert (done["changed"], done["release"]) == (True, 2)
    assert {machine.verified.image.identity for machine in rack.machines.values() if machine.verified} == {"v2"}
    again = rack.deploy()["settle"]
    assert (again["changed"], again["release"]) == (False, 2)
