# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's hooks take nodes out of service before they go down, and back once they are well."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Limit
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Hooks

from .conftest import Site

WEB = ("web1", "web2", "web3")
HOOKS = Hooks("/h/drain.yml", "/h/undrain.yml", "/h/back.yml", "/h/end.yml")


class Once(dict[tuple[str, str], str]):
    """Hooks that fail the first time only."""

    def get(self, key: tuple[str, str], default: t.Any = "") -> t.Any:
        return self.pop(key, default)


OLD, NEW = dict.fromkeys(WEB, "v1"), dict.fromkeys(WEB, "v2")


@pytest.fixture
def served(rack: Site) -> Site:
    """Three verified nodes in service, of which one may be down, to be replaced."""
    rack.set(hooks=HOOKS, at_most={"web": Limit(WEB, 1)})
    rack.deploy()
    rack.means["web"] = "v2"
    return rack


def order(site: Site) -> list[str]:
    """What was done to nodes, hooks among it, in order."""
    return [" ".join(call) for call in site.called("switch", "revert", "drain", "undrain", "back", "end")]


def test_new_nodes_are_put_into_service_once_they_are_verified(rack: Site) -> None:
    rack.set(hooks=HOOKS)
    rack.deploy()
    assert order(rack) == ["switch web1 web2 web3", "undrain web1 web2 web3", "end web1 web2 web3"]
    last_check = max(number for number, call in enumerate(rack.calls) if call[0] == "check")
    assert rack.calls.index(("undrain", *WEB)) > last_check
    assert rack.out() == set()


def test_each_wave_is_drained_and_is_back_before_the_next(served: Site) -> None:
    done = served.deploy()
    assert order(served) == [
        *(f"{what} {name}" for name in WEB for what in ("drain", "switch", "undrain")),
        "end web1 web2 web3",
    ]
    assert (served.runs(), served.out(), done["settle"]["failed_nodes"]) == (NEW, set(), [])
    assert all(node["changed"] for node in done["settle"]["nodes"].values())


def test_the_plan_says_which_hooks_would_run(served: Site) -> None:
    planned = served.deploy()["plan"]
    assert planned["hooks"] == {hook: [*WEB] for hook in ("drain", "undrain", "end")}
    assert "plan: hook drain: web1, web2, web3" in served.said().splitlines()
    assert "hooks" not in served.deploy()["plan"]


def test_without_hooks_nothing_is_written(rack: Site) -> None:
    rack.deploy()
    assert not os.path.exists(os.path.join(rack.deployment.state, "out-of-service.json"))


def test_a_node_that_cannot_be_drained_is_not_touched(served: Site) -> None:
    served.refuses["drain", "web2"] = "the proxy is gone"
    done = served.deploy()
    # The first one works, and went back: for that it is drained, too.
    assert order(served) == [
        *("drain web1", "switch web1", "undrain web1", "drain web2"),
        *("undrain web2", "drain web1", "revert web1 web3 web2", "back web1", "undrain web1"),
        "end web1 web2 web3",
    ]
    assert (served.runs(), served.out()) == (OLD, set())
    nodes = done["settle"]["nodes"]
    assert nodes["web2"]["message"].startswith("switch: drain: the proxy is gone; left on its last verified image v1")
    assert nodes["web3"]["message"].startswith("switch: left as it was: web2 failed before its turn")
    assert nodes["web1"]["back_on"] == "v1"


def test_with_a_quorum_only_that_node_is_left_behind(served: Site) -> None:
    served.set(at_least={"web": 2})
    served.refuses["drain", "web1"] = "the proxy is gone"
    done = served.deploy()
    assert ("switch", "web1") not in served.calls
    assert (served.runs(), served.out()) == ({**NEW, "web1": "v1"}, set())
    assert done["settle"]["failed_nodes"] == ["web1"] and done["settle"]["release"] == 2


def test_a_node_that_is_ill_is_not_put_into_service_before_it_is_back(served: Site) -> None:
    served.ill.add("v2")
    done = served.deploy()
    assert order(served) == [
        *("drain web1", "switch web1"),
        *("revert web1 web3 web2", "back web1", "undrain web1"),
        "end web1 web2 web3",
    ]
    assert (served.runs(), served.out()) == (OLD, set())
    assert "web.service" in done["settle"]["nodes"]["web1"]["message"]


def test_a_node_that_cannot_be_put_into_service_takes_the_run_back(served: Site) -> None:
    served.refuses = Once({("undrain", "web3"): "no such backend"})
    done = served.deploy()
    nodes = done["settle"]["nodes"]
    assert done["settle"]["veto"] == "web3: undrain: no such backend"
    assert (served.runs(), served.out()) == (OLD, set())
    assert order(served)[9:] == [
        *("revert web3", "back web3", "undrain web3"),
        *("drain web2", "revert web2", "back web2", "undrain web2"),
        *("drain web1", "revert web1", "back web1", "undrain web1"),
        "end web1 web2 web3",
    ]
    assert nodes["web3"]["message"] == "undrain: no such backend; back on its last verified image v1"
    assert nodes["web1"]["message"].startswith("taken back, because web3: undrain: no such backend; back on")


def test_a_node_that_stays_out_of_service_takes_room_from_the_others(served: Site) -> None:
    served.refuses["undrain", "web3"] = "no such backend"
    nodes = served.deploy()["settle"]["nodes"]
    assert nodes["web3"]["message"] == ("undrain: no such backend; NOT back: reverted, but: undrain: no such backend")
    assert "not reverted: at_most.web is 1, and down already: web3" in nodes["web2"]["message"]
    assert (served.runs(), served.out()) == ({**NEW, "web3": "v1"}, {"web3"})
    # The next run puts it into service first.
    served.refuses.clear()
    assert served.deploy()["settle"]["failed_nodes"] == []
    assert order(served) == ["drain web3", "switch web3", "undrain web3", "end web3"]
    assert (served.runs(), served.out()) == (NEW, set())


def test_an_earlier_wave_that_cannot_be_put_into_service_ends_the_switch(served: Site) -> None:
    served.refuses["undrain", "web1"] = "no such backend"
    done = served.deploy()
    assert done["switch"]["nodes"]["web1"]["message"] == "undrain: no such backend"
    assert done["switch"]["nodes"]["web2"]["message"] == "left as it was: web1 failed before its turn"
    assert served.runs() == OLD and served.out() == {"web1"}


def test_what_serves_and_cannot_be_drained_does_not_go_back(served: Site) -> None:
    served.test_script = "raise Exception('not together')"

    class Later(dict[tuple[str, str], str]):
        """Drains the first node only once."""

        turn = 0

        def get(self, key: tuple[str, str], default: t.Any = "") -> t.Any:
            self.turn += key == ("drain", "web1")
            return "the proxy is gone" if key == ("drain", "web1") and self.turn > 1 else default

    served.refuses = Later()
    done = served.deploy()
    assert served.runs() == {**OLD, "web1": "v2"}
    assert "NOT back: drain: the proxy is gone" in done["settle"]["nodes"]["web1"]["message"]


def test_what_a_killed_run_left_out_of_service_is_put_back_before_others_leave_it(served: Site) -> None:
    served.killed_at = "undrain"
    served.deploy()
    assert (served.runs(), served.out()) == ({**OLD, "web1": "v2"}, {"web1"})
    done = served.deploy()
    assert order(served)[:3] == ["undrain web1", "drain web2", "switch web2"]
    assert (served.runs(), served.out(), done["settle"]["failed_nodes"]) == (NEW, set(), [])


def test_what_a_killed_run_left_out_of_service_goes_first(served: Site) -> None:
    served.means["web"] = "v1"
    served.killed_at = "drain"
    served.deploy(replace=["web3"])
    assert (served.runs(), served.out()) == (OLD, {"web3"})
    served.means["web"] = "v2"
    served.deploy()
    assert order(served)[:4] == ["drain web3", "switch web3", "undrain web3", "drain web1"]
    assert (served.runs(), served.out()) == (NEW, set())


def test_a_run_that_has_nothing_else_to_do_puts_it_back(served: Site) -> None:
    served.killed_at = "drain"
    served.deploy()
    served.means["web"] = "v1"
    served.deploy()
    assert order(served) == ["undrain web1"] and served.out() == set()


def test_a_rollback_puts_back_what_is_out_of_service(served: Site) -> None:
    served.deploy()
    served.means["web"] = "v3"
    served.killed_at = "undrain"
    served.deploy()
    assert served.runs() == {**NEW, "web1": "v3"} and served.out() == {"web1"}
    served.deploy(release="current")
    assert order(served) == ["drain web1", "switch web1", "undrain web1", "end web1"]
    assert served.runs() == NEW and served.out() == set()


def test_what_is_booted_again_because_it_is_ill_is_drained(served: Site) -> None:
    served.means["web"] = "v1"
    served.sick = {"web1", "web3"}
    done = served.deploy()
    assert order(served) == [
        *("drain web1", "switch web1", "undrain web1"),
        *("drain web3", "switch web3", "undrain web3"),
        "end web1 web3",
    ]
    nodes = done["settle"]["nodes"]
    assert [nodes[name]["message"] for name in ("web1", "web3")] == ["was not well: booted again"] * 2
    assert served.out() == set()


def test_what_is_left_to_be_looked_at_stays_out_of_service(served: Site) -> None:
    served.ill.add("v2")
    served.deploy(keep_failed=True)
    assert order(served) == ["drain web1", "switch web1", "end web1"]
    assert served.out() == {"web1"}


def test_nobody_leaves_while_another_cannot_be_put_back(served: Site) -> None:
    served.means["web"] = "v1"
    served.killed_at = "drain"
    served.deploy(replace=["web1"])
    served.refuses["undrain", "web1"] = "no such backend"
    nodes = served.deploy(replace=["web2"])["settle"]["nodes"]
    assert order(served) == ["undrain web1", "revert web2", "end web2"] and served.out() == {"web1"}
    assert nodes["web1"]["message"] == "switch: undrain: no such backend"
    assert nodes["web2"]["message"].startswith("switch: left as it was: web1 failed before its turn; left on its")
    settled = served.deploy()["settle"]
    assert (settled["failed_nodes"], settled["release"]) == (["web1"], 1)
    assert settled["nodes"]["web1"]["message"] == "undrain: no such backend"


def test_without_a_hook_that_puts_them_back_nodes_are_in_service_when_they_are_well(served: Site) -> None:
    served.set(hooks=Hooks(drain="/h/drain.yml"))
    served.deploy()
    assert order(served) == [f"{what} {name}" for name in WEB for what in ("drain", "switch")]
    assert served.out() == set()
