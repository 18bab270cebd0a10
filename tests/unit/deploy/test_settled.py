# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that has nothing to do leaves the platform alone; what an earlier run left is cleaned up all the same."""

from __future__ import annotations

import os

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.removal import destroy
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import Site


def test_a_settled_run_only_observes_once(rack: Site) -> None:
    assert not rack.deploy()["plan"]["settled"]
    done = rack.deploy()
    assert done["plan"]["settled"]
    assert [call[0] for call in rack.calls if call[0] != "check"] == ["observe"]
    assert (done["settle"]["changed"], done["settle"]["release"]) == (False, 1)
    assert rack.deploy("web2")["plan"]["settled"]


def test_what_a_failed_run_staged_is_cleaned_by_the_next_that_changes_nothing(rack: Site) -> None:
    rack.deploy()
    rack.means["web"] = "bad"
    rack.ill.add("bad")
    assert "veto" in rack.deploy()["settle"]
    rack.means["web"] = "v1"
    assert rack.staged == set(os.listdir(f"{rack.deployment.state}/roots")) == {"v1", "bad"}
    done = rack.deploy()
    assert (done["plan"]["pending"], done["plan"]["settled"], done["settle"]["changed"]) == (False, False, False)
    assert rack.staged == set(os.listdir(f"{rack.deployment.state}/roots")) == {"v1"}
    assert rack.deploy()["plan"]["settled"]


def test_what_the_platform_knows_to_be_left_is_cleaned_on_any_node(rack: Site) -> None:
    rack.deploy()
    rack.leftovers.add("web3")
    assert not rack.deploy("web1")["plan"]["settled"]
    assert rack.leftovers == set()
    assert rack.deploy()["plan"]["settled"]


def test_nodes_that_are_not_marked_are_not_settled(rack: Site) -> None:
    rack.deploy()
    rack.machines["web3"].verified = None
    assert rack.deploy("web1", "web2")["plan"]["settled"]
    assert not rack.deploy()["plan"]["settled"]
    assert rack.machines["web3"].verified


def test_a_node_to_be_retired_is_not_settled(rack: Site) -> None:
    rack.deploy()
    rack.set(nodes=rack.deployment.nodes[:2])
    rack.deploy("web1", "web2")  # tells them their peers
    assert rack.deploy("web1", "web2")["plan"]["settled"]
    assert not rack.deploy()["plan"]["settled"]
    assert list(rack.machines) == ["web1", "web2"]
    assert rack.deploy()["plan"]["settled"]


def test_what_cannot_be_removed_is_no_success(rack: Site) -> None:
    """It is no host that could fail by itself; the next run removes it."""
    rack.deploy()
    rack.stuck = {"web2", "web3"}
    assert destroy(rack.engine(), data=False).failed_nodes == ["web2", "web3"]
    assert list(rack.machines) == ["web2", "web3"]
    rack.set(nodes=rack.deployment.nodes[:2])
    with pytest.raises(ComposeError, match="^remove, web3: stuck$"):
        rack.deploy()
    assert rack.runs() == {"web1": "v1", "web2": "v1", "web3": "v1"} and rack.machines["web1"].verified
    rack.stuck = set()
    assert rack.deploy()["settle"]["retired"] == ["web3"]
    destroy(rack.engine(), data=False)
    assert rack.machines == {}


def test_another_test_script_is_another_release_and_old_ones_go_with_the_next_run(rack: Site) -> None:
    rack.set(keep=1)
    rack.deploy()
    rack.test_script = "pass"
    done = rack.deploy()
    assert done["plan"]["settled"]
    assert (done["settle"]["changed"], done["settle"]["release"]) == (True, 2)
    assert os.listdir(f"{rack.deployment.state}/roots") == ["v1"]
    assert rack.engine().releases.numbers() == [1, 2]
    assert not rack.deploy()["plan"]["settled"]
    assert rack.engine().releases.numbers() == [2]
    assert rack.deploy()["plan"]["settled"]


def test_images_of_nodes_outside_of_the_batch_stay(rack: Site) -> None:
    rack.set(keep=1)
    rack.deploy()
    rack.means["web"] = "v2"
    rack.deploy("web1")
    assert rack.runs() == {"web1": "v2", "web2": "v1", "web3": "v1"}
    assert rack.deploy("web1")["plan"]["settled"]
    assert sorted(os.listdir(f"{rack.deployment.state}/roots")) == ["v1", "v2"]
    rack.deploy()
    assert os.listdir(f"{rack.deployment.state}/roots") == ["v2"]
