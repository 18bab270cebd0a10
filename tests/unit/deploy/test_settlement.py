# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is to blame decides: who fails, who is booted again, who goes back, and what is released."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.journal import JournalFile
from ansible_collections.immutable.compose.plugins.module_utils.deploy.looking import verify
from ansible_collections.immutable.compose.plugins.module_utils.deploy.removal import destroy
from ansible_collections.immutable.compose.plugins.module_utils.deploy.transaction import Transaction
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node

from .conftest import Site


@pytest.fixture
def running(rack: Site) -> Site:
    """Three verified nodes."""
    rack.deploy()
    return rack


def grow(site: Site) -> None:
    """One node more."""
    site.set(nodes=(*site.deployment.nodes, Node("web4", "web", 4, "10.87.0.4")))


def test_a_sick_node_is_booted_again_once(running: Site) -> None:
    running.sick.add("web2")
    done = running.deploy()
    assert running.called("switch") == [("switch", "web2")]
    assert done["settle"]["failed_nodes"] == [] and done["settle"]["release"] == 1
    assert done["settle"]["nodes"]["web2"]["message"] == "was not well: booted again"
    assert [name for name, node in done["settle"]["nodes"].items() if node["changed"]] == ["web2"]


def test_what_is_sick_again_fails_alone(running: Site) -> None:
    running.sick.add("web2")
    running.incurable.add("web2")
    done = running.deploy()
    assert running.called("switch", "revert") == [("switch", "web2")]
    assert done["settle"]["failed_nodes"] == ["web2"]
    assert "booted again, and still: " in done["settle"]["nodes"]["web2"]["message"]


def test_what_was_ill_before_vetoes_nobody(running: Site) -> None:
    running.sick.add("web2")
    running.incurable.add("web2")
    grow(running)
    done = running.deploy()
    assert done["settle"]["failed_nodes"] == ["web2"]
    assert running.runs()["web4"] == "v1" and running.machines["web4"].verified
    assert running.engine().releases.current().nodes.keys() == {"web1", "web2", "web3", "web4"}  # type: ignore[union-attr]


@pytest.mark.parametrize("script", ["", "web1.succeed('true')"])
def test_what_was_silent_before_vetoes_nobody(running: Site, script: str) -> None:
    running.silent.add("web1")
    running.test_script = script
    grow(running)
    done = running.deploy()
    assert done["settle"]["failed_nodes"] == ["web1"]
    assert "no answer" in done["settle"]["nodes"]["web1"]["message"]
    assert running.machines["web4"].verified


def test_what_was_silent_before_does_not_keep_others_from_the_test_script(running: Site) -> None:
    running.silent.add("web1")
    running.test_script = "web4.fail('true')"
    grow(running)
    assert "testScript" in running.deploy()["settle"]["veto"]
    assert "web4" not in running.runs()


def test_what_fell_ill_by_the_run_takes_it_back(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    running.means["web"] = "v2"
    running.set(at_most={})
    running.infected = {"web1": "web3"}  # once web1 boots, web3 is ill
    done = running.deploy("web1")
    assert "veto" not in done["settle"], "web3 is not part of the batch"
    running.sick.clear()
    running.means["web"] = "v1"
    running.infected = {}
    running.deploy()
    grow(running)
    running.infected = {"web4": "web2"}
    done = running.deploy()
    assert "web2" in done["settle"]["veto"]
    assert "web4" not in running.runs()


def test_healthy_hosts_are_no_failed_hosts_when_another_is_taken_back(running: Site) -> None:
    grow(running)
    running.test_script = "web4.fail('true')"
    done = running.deploy()
    assert done["settle"]["failed_nodes"] == ["web4"]
    assert {name: node["ok"] for name, node in done["settle"]["nodes"].items()} == {
        "web1": True,
        "web2": True,
        "web3": True,
        "web4": False,
    }


def test_a_script_that_blames_nobody_is_everybodys_problem_if_nothing_was_changed(running: Site) -> None:
    running.test_script = "raise Exception('all wrong')"
    done = running.deploy()
    assert done["settle"]["failed_nodes"] == ["web1", "web2", "web3"]
    assert running.called("switch", "revert") == []


def test_after_a_failed_scale_out_peers_are_those_of_before(running: Site) -> None:
    before = {name: machine.target.document_digest for name, machine in running.machines.items()}
    grow(running)
    running.test_script = "raise Exception('no room')"
    running.deploy()
    after = {name: running.machines[name].target.document_digest for name in before}
    assert after == before


def test_what_failed_is_kept_if_somebody_wants_to_look_at_it(running: Site) -> None:
    running.means["web"] = "bad"
    running.ill.add("bad")
    settled = running.deploy(keep_failed=True)["settle"]
    assert running.called("revert") == [] and running.runs()["web1"] == "bad"
    assert settled["failed_nodes"] == ["web1", "web2", "web3"] and settled["release"] is None
    assert "left as it is (compose_keep_failed). Log in: ssh -F" in settled["nodes"]["web1"]["message"]
    assert running.deploy(release="previous")["settle"]["release"] == 1
    assert running.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"}


def test_beside_a_canary_others_are_well_on_what_was_verified_before(running: Site) -> None:
    running.means["web"] = "v2"
    running.deploy("web1")
    assert verify(running.engine(), "current").failed_nodes == []
    assert "verify: not of release 2, but on what was verified before: web2, web3" in running.said()
    running.machines["web1"].target = running.machines["web2"].target
    assert verify(running.engine(), "current").failed_nodes == ["web1"]


def test_a_canary_is_rolled_back_and_not_rolled_out(running: Site) -> None:
    running.means["web"] = "v2"
    running.deploy("web1")
    assert running.runs() == {"web1": "v2", "web2": "v1", "web3": "v1"}
    running.deploy(release="previous")
    assert running.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"}


@pytest.mark.parametrize("until", ["plan", "switch", "settle"])
def test_a_rollback_that_was_killed_is_finished_by_the_next(
    running: Site, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.means["web"] = "v2"
    running.deploy()

    def killed(*what: t.Any, **how: t.Any) -> t.NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            *{"plan": (Transaction, "build"), "switch": (Transaction, "verify"), "settle": (JournalFile, "drop")}[
                until
            ],
            killed,
        )
        with pytest.raises(KeyboardInterrupt):
            running.deploy(release="previous")
    assert running.deploy(release="previous")["settle"]["release"] == 3
    assert set(running.runs().values()) == {"v1"}
    running.deploy(release="previous")  # another one
    assert set(running.runs().values()) == {"v2"}


def test_a_release_says_what_each_node_runs(running: Site) -> None:
    def recorded() -> tuple[int, dict[str, str]]:
        release = running.engine().releases.find("current")
        return release.number, {name: str(release.image(name, role)) for name, role in release.nodes.items()}

    for number, node in enumerate(("web2", "web1"), 1):
        running.means["web"] = "v2"
        running.deploy(node)
        assert recorded() == (2, running.runs()), number
    assert running.runs() == {"web1": "v2", "web2": "v2", "web3": "v1"}
    # A run that fails takes each back to what it really ran, and records nothing.
    running.means["web"] = "bad"
    running.ill.add("bad")
    assert running.deploy()["settle"]["failed_nodes"] == ["web1", "web2", "web3"]
    assert recorded() == (2, {"web1": "v2", "web2": "v2", "web3": "v1"}) == (2, running.runs())
    # Another release is rolled out, and gone back from.
    running.means["web"] = "v3"
    running.deploy()
    assert recorded() == (3, dict.fromkeys(("web1", "web2", "web3"), "v3"))
    done = running.deploy(release="previous")
    assert running.runs() == {"web1": "v2", "web2": "v2", "web3": "v1"}
    assert recorded() == (4, running.runs())
    assert done["plan"]["nodes"]["web3"]["image"] == "v1" and done["settle"]["summary"][3].endswith("web3 (web): v1")
    assert verify(running.engine(), "current").failed_nodes == []
    running.machines["web3"].target = running.machines["web1"].target
    assert verify(running.engine(), "current").failed_nodes == ["web3"]


def test_with_a_quorum_the_release_says_who_went_back(running: Site) -> None:
    running.set(at_least={"web": 2})
    running.means["web"] = "v2"
    running.infected["web2"] = "web2"
    assert running.deploy()["settle"]["failed_nodes"] == ["web2"]
    release = running.engine().releases.find("current")
    assert (release.number, release.node_images) == (2, {"web2": "v1"})
    assert running.runs() == {"web1": "v2", "web2": "v1", "web3": "v2"}


def test_images_of_nodes_that_wait_outlive_their_release(running: Site) -> None:
    running.set(keep=1)
    running.means["web"] = "v2"
    running.deploy("web1")
    running.silent.update(("web2", "web3"))
    running.means["web"] = "v3"
    running.deploy("web1")
    engine = running.engine()
    assert engine.releases.numbers() == [3]
    assert [each for each in ("v1", "v2", "v3") if engine.releases.has_image(each)] == ["v1", "v3"]


def test_nodes_are_held_against_the_ports_of_their_own_image(running: Site) -> None:
    """Of those that wait, and of those that go back: they do not listen on what is new."""
    running.ports = (80,)
    running.listens = {"v2": {80}}
    running.means["web"] = "v2"
    running.deploy("web1")
    assert verify(running.engine(), "current").failed_nodes == []
    running.means["web"] = "v3"
    settled = running.deploy()["settle"]
    assert "accepts no connection" in settled["nodes"]["web1"]["message"]
    assert [result["back_on"] for result in settled["nodes"].values()] == ["v2", "v1", "v1"]
    running.listens["v2"] = set()
    assert verify(running.engine(), "current").failed_nodes == ["web1"]


def test_replace_asks_for_members_only(running: Site) -> None:
    assert running.deploy(replace=["web2"])["plan"]["nodes"]["web2"]["why"] == ["asked for"]
    assert running.called("switch") == [("switch", "web2")]
    with pytest.raises(InputError, match="replace has 'web9', expected nodes of the deployment 'lab'"):
        running.deploy(replace=["web9"])


def test_a_problem_of_the_whole_is_told_by_each_and_goes_back(running: Site) -> None:
    running.means["web"] = "v2"
    for step in ("plan", "build", "stage", "switch"):
        transaction = running.transaction()
        if step == "plan":
            from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish

            transaction.plan(Wish(), hold=True)
        else:
            getattr(transaction, step)()
    running.transaction().give_up("verify: no space left")
    settled = running.transaction().settle()
    assert running.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"}
    assert settled.veto == "verify: no space left"
    assert all(node.message.startswith("verify: no space left") for node in settled.nodes.values())


def test_a_problem_before_the_switch_touches_nothing(running: Site) -> None:
    from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish

    running.means["web"] = "v2"
    running.calls.clear()
    running.transaction().plan(Wish(), hold=True)
    running.transaction().give_up("build: no network")
    for step in ("build", "stage", "switch", "verify"):
        getattr(running.transaction(), step)()
    settled = running.transaction().settle()
    assert running.called("stage", "switch", "revert", "commit") == []
    assert settled.failed_nodes == ["web1", "web2", "web3"]


@pytest.mark.parametrize("shared", [["job 7"], []])
def test_a_run_that_gives_back_what_it_had_has_changed_something(rack: Site, shared: list[str]) -> None:
    """No node was touched by it, but its machines are not reserved any more."""
    from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish

    rack.transaction().plan(Wish(), hold=True)
    rack.transaction().give_up("build: no network")
    rack.shared = shared
    settled = rack.transaction().settle()
    assert len(settled.failed_nodes) == 3 and settled.changed is bool(shared)


def test_to_give_back_what_no_node_has_is_a_change(rack: Site) -> None:
    rack.shared = ["job 7"]
    assert destroy(rack.engine("web1"), data=False, pretend=True).changed is True
    assert "destroy job 7: would be removed" in rack.said() and rack.shared
    done = destroy(rack.engine(), data=False)
    assert done.changed and not any(node.changed for node in done.nodes.values()) and not rack.shared
    assert not destroy(rack.engine(), data=False).changed


def test_destroy_takes_what_was_named_and_nothing_of_others(running: Site) -> None:
    engine = running.engine("web1", "web3")
    engine.absent = ["web2"]
    assert destroy(engine, data=True, pretend=True).changed
    assert len(running.runs()) == 3
    assert destroy(engine, data=True).failed_nodes == []
    assert list(running.machines) == ["web2"]
    assert ("teardown",) not in running.calls
