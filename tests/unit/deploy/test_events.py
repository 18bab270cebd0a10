# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves for people: its events, and the page that is made of them."""

from __future__ import annotations

import os
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.events import Events, path_of, read
from ansible_collections.immutable.compose.plugins.module_utils.deploy.masking import MASKED, Mask
from ansible_collections.immutable.compose.plugins.module_utils.deploy.parcel import Parcel
from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.deploy.step import take
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Limit
from ansible_collections.immutable.compose.plugins.module_utils.model.event import Event
from ansible_collections.immutable.compose.plugins.module_utils.model.step import StepFailure
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
from ansible_collections.immutable.compose.plugins.module_utils.shipped import Place

from .conftest import Site

RUN = Run.of_process(os.getpid())
OTHER = replace(RUN, who="bob@desk")
PARAMS: t.Mapping[str, t.Mapping[str, t.Any]] = {
    "plan": {"release": None, "replace": [], "retire": True, "hold": True},
    "build": {"plan": {}, "reproducible": False},
    "stage": {},
    "switch": {},
    "verify": {"plan": {}},
    "settle": {"keep_failed": False},
    "page": {},
    "drift": {"ignore": {}},
}
SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def umask() -> t.Iterator[None]:
    """Steps are processes of their own."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def step(rack: Site, name: str, run: Run = RUN, *, check_mode: bool = False) -> dict[str, t.Any]:
    """What the module returns."""
    batch = tuple(node.name for node in rack.deployment.nodes)
    told = Parcel(rack.deployment, batch, Place("/support"), run).to_text(Place("/code"))
    ended = take(name, told.splitlines()[1], PARAMS[name], check_mode=check_mode)
    return ended.result


def deploy(rack: Site, run: Run = RUN) -> dict[str, t.Any]:
    pending = step(rack, "plan", run)["pending"]
    for name in ("build", "stage", "switch") if pending else ():
        step(rack, name, run)
    step(rack, "verify", run)
    return step(rack, "settle", run)


def events(rack: Site) -> list[Event]:
    return list(read(path_of(rack.deployment.state)))


def states(rack: Site, node: str) -> list[str]:
    return [event.state for event in events(rack) if event.node == node]


def page(rack: Site) -> str:
    return Path(step(rack, "page")["page"]).read_text()


def test_a_run_is_written_down_as_it_happens(rack: Site) -> None:
    deploy(rack)
    told = events(rack)
    assert told[0].kind == "run" and told[0].text == RUN.who
    steps = [(event.kind, event.step) for event in told if event.kind in ("begin", "end", "failed")]
    taken = ("plan", "build", "stage", "switch", "verify", "settle")
    assert steps == [(kind, name) for name in taken for kind in ("begin", "end")]
    assert [event.time for event in told] == sorted(event.time for event in told)
    assert states(rack, "web1") == ["staged", "down", "booting", "verified"]
    assert "release 1" in page(rack).lower() and 'lab: <span class="verdict">verified' in page(rack)


def test_a_node_that_fails_and_those_that_go_back_with_it_are_told_apart(rack: Site) -> None:
    deploy(rack)
    rack.means["web"] = "v2"
    rack.infected["web2"] = "web2"
    deploy(rack, OTHER)
    assert states(rack, "web1")[-3:] == ["down", "verified", "back"]
    assert "failed" in states(rack, "web2") and "failed" not in states(rack, "web1")
    text = page(rack)
    assert "went back" in text and "web.service" in text and "v1" in text and "With them: web1" in text


def test_waves_and_rounds_are_seen(rack: Site) -> None:
    deploy(rack)
    rack.set(at_most={"web": Limit(("web1", "web2", "web3"), 1)}, retries=1)
    rack.means["web"] = "v2"
    rack.unbootable.add("v2")
    deploy(rack, OTHER)
    assert {"wave", "round"} <= {event.kind for event in events(rack)}
    assert "switch: round 2 of 2: booting again: web1" in page(rack)


def results(rack: Site) -> set[str]:
    """What nodes were looked at for."""
    return {path.parent.name for path in Path(rack.deployment.state).glob("results/*/results.json")}


def test_each_wave_and_each_round_has_its_own_results_until_the_next_run(rack: Site) -> None:
    deploy(rack)
    rack.set(at_most={"web": Limit(("web1", "web2", "web3"), 1)}, retries=1)
    rack.means["web"] = "v2"
    deploy(rack, OTHER)
    assert results(rack) == {"switch", "switch-2", "switch-3", "verify"}
    assert all(f"<h3>{name}, " in page(rack) for name in results(rack))
    rack.means["web"] = "v3"
    rack.ill.add("v3")
    deploy(rack, replace(RUN, who="eve@desk"))
    assert results(rack) == {"switch", "switch-2", "verify", "revert"}
    assert all(f"<h3>{name}, " in page(rack) for name in results(rack))


def test_another_run_begins_anew_and_another_batch_goes_on(rack: Site) -> None:
    deploy(rack)
    deploy(rack)
    assert [event.kind for event in events(rack)].count("run") == 1
    assert [event.step for event in events(rack) if event.kind == "end"].count("settle") == 2
    deploy(rack, OTHER)
    assert [event.step for event in events(rack) if event.kind == "end"] == ["plan", "verify", "settle"]


def test_what_is_refused_and_what_only_looks_leaves_the_last_run_alone(
    rack: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(rack)
    before = events(rack)
    step(rack, "plan", OTHER, check_mode=True)
    step(rack, "settle", OTHER)  # it does not hold the deployment
    rack.set(unreadable={"web1": "no vault password"})
    assert "no vault password" in step(rack, "plan", OTHER)["msg"]
    assert events(rack) == before


def test_a_step_that_comes_to_nothing_says_why(rack: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    step(rack, "plan")
    rack.means["web"] = "v2"
    assert "the composition changed meanwhile" in step(rack, "build")["msg"]
    (last,) = [event for event in events(rack) if event.kind == "failed"]
    assert last.step == "build" and "the composition changed meanwhile" in str(last.result)
    assert "came to nothing" in page(rack)


def test_secrets_are_in_none_of_it(rack: Site) -> None:
    nodes = tuple(replace(node, secrets={"token": SECRET}) for node in rack.deployment.nodes)
    rack.set(nodes=nodes)
    rack.infected["web2"] = "web2"
    rack.incurable.add("web2")
    rack.unsealed["web1"] = SECRET
    deploy(rack)
    assert "failed" in states(rack, "web2")
    assert SECRET not in Path(path_of(rack.deployment.state)).read_text()
    assert SECRET not in page(rack)


def test_lines_and_reasons_are_masked(tmp_path: Path) -> None:
    mask = Mask([SECRET])
    log = Events(str(tmp_path), "verify", mask)
    log.go_on()
    progress = Progress(mask=mask.text)
    progress.record = log.add
    progress.say(f"curl said {SECRET}\x1b[2J")
    progress.became("web1", "failed", f"it said {SECRET}")
    log.end(StepFailure(f"no {SECRET}"))
    text = Path(path_of(str(tmp_path))).read_text()
    assert SECRET not in text and text.count(MASKED) == 3 and "\\u001b" not in text


def test_a_line_that_was_cut_is_left_out(rack: Site) -> None:
    deploy(rack)
    whole = events(rack)
    path = Path(path_of(rack.deployment.state))
    path.write_text(path.read_text()[:-20] + '\n{"time": "x"}\n\x00\n')
    assert events(rack) == whole[:-1]
    assert "has not come to its end" in page(rack)


def test_there_has_to_be_something_to_report(rack: Site) -> None:
    assert "there is nothing to report of the deployment 'lab': deploy it first" in step(rack, "page")["msg"]
    assert not Path(rack.deployment.state).exists()


def test_in_check_mode_no_page_is_written(rack: Site) -> None:
    deploy(rack)
    assert not Path(step(rack, "page", check_mode=True)["page"]).exists()


def test_what_a_reader_has_found_is_kept(rack: Site) -> None:
    deploy(rack)
    step(rack, "drift")
    assert "Drift, 20" in page(rack)
