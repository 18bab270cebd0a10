# SPDX-License-Identifier: GPL-3.0-or-later
"""Redundant nodes are never all down: how nodes are cut into waves, and whole runs of the engine with them."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.waves import Waves
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Limit, Node

from .conftest import Machine, Site

WEB = ("web1", "web2", "web3")
LIMITS = {"web": Limit(WEB, 1), "pair": Limit(("web3", "db1", "db2"), 2)}


@pytest.mark.parametrize(
    ("idle", "running", "down", "waves"),
    [
        ("", "", "", []),
        ("", "other web1", "", ["other web1"]),
        ("", "web1 web2 web3", "", ["web1", "web2", "web3"]),
        ("", "web1 other web2", "", ["web1 other", "web2"]),
        ("", "db1 db2 web3 web1", "", ["db1 db2 web1", "web3"]),
        ("web1 web2", "web3", "", ["web1 web2", "web3"]),
        ("db1", "web1 web3 db2", "", ["db1 web1 db2", "web3"]),
        ("", "db2 web1 web3", "db1", ["db2 web1", "web3"]),
        ("web1", "other", "web2", ["web1 other"]),
    ],
)
def test_waves(idle: str, running: str, down: str, waves: list[str]) -> None:
    assert Waves(LIMITS).cut(idle.split(), running.split(), down.split()) == [wave.split() for wave in waves]


def test_too_many_are_down_already() -> None:
    with pytest.raises(ComposeError, match="web1 cannot be replaced: at_most.web is 1, and down already: web3$"):
        Waves(LIMITS).cut([], ["other", "web1"], ["web3"])


@pytest.fixture
def redundant(rack: Site) -> Site:
    """Three verified nodes of which one may be down, to be replaced, and a node apart from them."""
    rack.means["db"] = "d1"
    rack.set(nodes=(*rack.deployment.nodes, Node("db", "db", 1, "10.87.1.1")), at_most={"web": Limit(WEB, 1)})
    rack.deploy()
    rack.means.update(web="v2", db="d2")
    return rack


def steps(site: Site) -> list[str]:
    """What was done to nodes, in order: ``SWITCH a b``, ``REVERT a``; and which were looked at in between."""
    told: list[str] = []
    for call, *names in site.called("switch", "revert", "check"):
        if call != "check":
            told.append(" ".join([call.upper(), *names]))
        elif told[-1].isupper() or not told[-1].startswith("check"):
            told.append(f"check {names[0]}")
        else:
            told[-1] = " ".join(["check", *sorted([*told[-1].split()[1:], names[0]])])
    return told


def test_each_wave_but_the_last_is_verified_before_the_next(redundant: Site) -> None:
    done = redundant.deploy()
    assert done["plan"]["waves"] == [["web1", "db"], ["web2"], ["web3"]]
    assert steps(redundant) == [
        "SWITCH web1 db",
        "check db web1",
        "SWITCH web2",
        "check web2",
        "SWITCH web3",
        "check db web1 web2 web3",
    ]
    assert redundant.runs() == {"db": "d2", "web1": "v2", "web2": "v2", "web3": "v2"}
    assert "veto" not in done["settle"]
    for line in ("switch: wave 1 of 3: web1, db", "switch web2: started (3 of 4)", "switch: wave 3 of 3: web3"):
        assert line in redundant.said().splitlines()


@pytest.mark.parametrize("how", ["ill", "unbootable"])
def test_after_a_wave_that_fails_the_others_are_left_as_they_were(redundant: Site, how: str) -> None:
    getattr(redundant, how).add("v2")
    done = redundant.deploy()
    switch = done["switch"]
    assert switch["failed_nodes"] == ["web1", "web2", "web3"]
    assert switch["nodes"]["web2"]["message"] == "left as it was: web1 failed before its turn"
    assert not switch["nodes"]["web2"]["changed"]
    assert ("web.service" if how == "ill" else "does not boot") in switch["nodes"]["web1"]["message"]
    assert redundant.called("switch") == [("switch", "web1", "db")]
    assert redundant.runs() == {"db": "d1", "web1": "v1", "web2": "v1", "web3": "v1"}
    nodes = done["settle"]["nodes"]
    assert done["settle"]["failed_nodes"] == ["db", *WEB]
    assert (nodes["web1"]["back_on"], nodes["web2"].get("back_on"), nodes["db"]["back_on"]) == ("v1", None, "d1")
    assert nodes["web1"]["message"].endswith("; back on its last verified image v1")
    assert nodes["web2"]["message"].endswith("its turn; left on its last verified image v1")
    assert nodes["db"]["message"].startswith("taken back, because web1: switch: ")


def test_a_batch_that_fails_as_a_whole_goes_back_in_waves(redundant: Site) -> None:
    redundant.test_script = "raise Exception('not together')"
    done = redundant.deploy()
    assert done["verify"]["failed_nodes"] == [] and "not together" in done["verify"]["message"]
    assert redundant.called("revert") == [("revert", "web3", "db"), ("revert", "web2"), ("revert", "web1")]
    assert done["settle"]["failed_nodes"] == ["db", *WEB]
    assert redundant.runs() == {"db": "d1", "web1": "v1", "web2": "v1", "web3": "v1"}


def test_nodes_that_work_go_back_one_after_the_other(redundant: Site) -> None:
    redundant.test_script = "raise Exception('not together')"
    done = redundant.deploy()
    back = steps(redundant)
    assert back[back.index("REVERT web3 db") :] == [
        "REVERT web3 db",
        "check db web3",
        "REVERT web2",
        "check web2",
        "REVERT web1",
        "check web1",
    ]
    assert redundant.runs() == {"db": "d1", "web1": "v1", "web2": "v1", "web3": "v1"}
    assert done["settle"]["nodes"]["web1"]["back_on"] == "v1"


def test_one_that_may_not_work_goes_back_first(redundant: Site) -> None:
    redundant.test_script = "web2.fail('true')"
    redundant.deploy()
    assert redundant.called("revert") == [("revert", "web2", "db"), ("revert", "web3"), ("revert", "web1")]


def test_a_node_that_does_not_come_back_keeps_the_others_of_its_group_from_going_down(redundant: Site) -> None:
    redundant.test_script = "raise Exception('not together')"
    redundant.ill.add("v1")
    nodes = redundant.deploy()["settle"]["nodes"]
    assert redundant.runs() == {"db": "d1", "web1": "v2", "web2": "v2", "web3": "v1"}
    assert nodes["web1"]["message"].endswith("NOT back: not reverted: at_most.web is 1, and down already: web3")
    assert "NOT back: reverted, but" in nodes["web3"]["message"]
    redundant.ill.clear()
    redundant.test_script = ""
    assert redundant.deploy()["plan"]["waves"] == [["web3", "db"]]
    assert redundant.runs() == {"db": "d2", "web1": "v2", "web2": "v2", "web3": "v2"}


def test_a_stopped_node_is_up_before_another_goes_down(redundant: Site) -> None:
    redundant.machines["web2"].running = False
    assert redundant.deploy()["plan"]["waves"] == [["web2", "db"], ["web1"], ["web3"]]


def test_a_stopped_node_outside_of_the_batch_counts(redundant: Site) -> None:
    redundant.machines["web2"].running = False
    with pytest.raises(ComposeError, match="web1 cannot be replaced: at_most.web is 1, and down already: web2"):
        redundant.deploy("web1", "db")
    assert redundant.runs() == {"db": "d1", "web1": "v1", "web3": "v1"}
    redundant.deploy("web2")
    assert redundant.deploy("web1", "db")["plan"]["waves"] == [["web1", "db"]]


def test_nodes_that_never_worked_are_not_missed(redundant: Site) -> None:
    first = redundant.machines["web2"]
    redundant.machines["web2"] = Machine(first.target, running=False)
    assert redundant.deploy("web1")["plan"]["waves"] == [["web1"]]
    del redundant.machines["web2"]
    assert redundant.deploy("web3")["plan"]["waves"] == [["web3"]]


def test_a_new_node_that_fails_does_not_keep_the_others_from_going_back(redundant: Site) -> None:
    nodes = (*redundant.deployment.nodes, Node("web4", "web", 4, "10.87.0.4"))
    redundant.set(nodes=nodes, at_most={"web": Limit((*WEB, "web4"), 1)})
    redundant.test_script = "web4.fail('true')"
    assert redundant.deploy()["plan"]["waves"] == [["web4", "db"], ["web1"], ["web2"], ["web3"]]
    assert redundant.called("revert")[0] == ("revert", "web4", "web3", "db")
    assert redundant.runs() == {"db": "d1", "web1": "v1", "web2": "v1", "web3": "v1"}


def test_batches_keep_to_the_limit_too(redundant: Site) -> None:
    for name in WEB:
        assert redundant.deploy(name)["plan"]["waves"] == [[name]]
    assert redundant.runs() == {"db": "d1", "web1": "v2", "web2": "v2", "web3": "v2"}


def test_without_limits_there_is_one_wave_and_one_verification(redundant: Site) -> None:
    redundant.set(at_most={})
    redundant.deploy()
    assert steps(redundant) == ["SWITCH web1 web2 web3 db", "check db web1 web2 web3"]
    assert "wave" not in redundant.said()
