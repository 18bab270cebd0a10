# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds and quorum: nodes that do not come up get another chance, and need not take the deployment with them."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult

from .conftest import Rack, Site


def fails(monkeypatch: pytest.MonkeyPatch, node: str, times: int) -> None:
    """A node that cannot be started so many times."""
    switch = Rack.switch
    left = [times]

    def failing(self, targets, tell):  # type: ignore[no-untyped-def]
        outcomes = switch(self, targets, tell)
        if node in outcomes and left[0]:
            left[0] -= 1
            self.site.machines[node].running = False
            outcomes[node] = NodeResult(False, True, "no boot")
        return outcomes

    monkeypatch.setattr(Rack, "switch", failing)


def test_what_does_not_come_up_is_booted_again_alone(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(monkeypatch, "web2", 2)
    rack.set(retries=2)
    done = rack.deploy()
    assert rack.called("switch") == [("switch", "web1", "web2", "web3"), ("switch", "web2"), ("switch", "web2")]
    assert done["settle"]["release"] == 1 and done["settle"]["failed_nodes"] == []
    assert "switch: round 3 of 3: booting again: web2" in rack.said()


def test_after_the_last_round_the_deployment_goes_back(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rack.deploy()
    rack.means["web"] = "v2"
    fails(monkeypatch, "web2", 2)
    rack.set(retries=1)
    done = rack.deploy()
    assert "no boot" in done["settle"]["veto"]
    assert rack.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"}


@pytest.mark.parametrize(("quorum", "holds"), [(2, True), (3, False), (0, True)])
def test_with_a_quorum_the_failed_ones_go_back_alone(
    rack: Site, monkeypatch: pytest.MonkeyPatch, quorum: int, holds: bool
) -> None:
    rack.deploy()
    rack.means["web"] = "v2"
    fails(monkeypatch, "web2", 1)
    rack.set(at_least={"web": quorum})
    settled = rack.deploy()["settle"]
    if holds:
        assert rack.runs() == {"web1": "v2", "web2": "v1", "web3": "v2"}
        assert (settled["failed_nodes"], settled["release"]) == (["web2"], 2)
        assert "back on its last verified image v1" in settled["nodes"]["web2"]["message"]
    else:
        assert rack.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"}
        assert settled["release"] == 1


def test_a_test_script_that_fails_is_no_matter_of_quorum(rack: Site) -> None:
    rack.deploy()
    rack.means["web"] = "v2"
    rack.test_script = "raise Exception('not together')"
    rack.set(at_least={"web": 0})
    assert "not together" in rack.deploy()["settle"]["veto"]
    assert rack.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"}
