"""Machines that are reserved for a deployment, on the stand-ins for Kadeploy and for the API where they are lent."""

from __future__ import annotations

import time
import types
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe import reservation as reading
from ansible_collections.immutable.compose.plugins.module_utils.describe.hostvars import from_hostvars, to_hostvars
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node, Reservation
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.oar import desk
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import lender, machines
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.platform import Kadeploy
from ansible_collections.immutable.compose.plugins.module_utils.platforms.ledger import Ledger
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ...contract.killing import until_done
from ..model.samples import document
from .conftest import Serve, start_api
from .test_platform import platform, targets


@dataclass
class Site:
    """A Kadeploy, and the API where its machines are reserved."""

    deployment: Deployment
    jobs: t.Any

    def platform(self, **changes: t.Any) -> Kadeploy:
        """As another step has it."""
        wanted = replace(t.cast(Reservation, self.deployment.reservation), **changes)
        return Kadeploy(replace(self.deployment, reservation=wanted), Progress())

    def running(self) -> list[str]:
        return [job.name for job in self.platform()._site.lender._site.jobs()]  # type: ignore[union-attr]


@pytest.fixture
def site(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Site]:
    monkeypatch.setattr(desk, "_FIRST", 0.02)
    monkeypatch.setattr(machines, "_resolve", lambda machine: f"192.0.2.{machine[-1]}")
    kadeploy = serve(rights={})
    server, _api = start_api(tmp_path / "api", kadeploy.url)
    (tmp_path / "served").mkdir()
    options = {"url": kadeploy.url, "directory": str(tmp_path / "served")}
    nodes = tuple(Node(f"web{at}", "web", at, options=options) for at in (1, 2))
    wanted = Reservation(2, "1:0:0", "compose-lab", interface="grid5000", site="grenoble", url=f"{server.url}/stable")
    login = {"user": "alice", "password": "alice"}
    state = str(tmp_path / "state")
    deployed = Deployment("lab", "/c", "debian", "kadeploy", nodes, state=state, reservation=wanted, credentials=login)
    yield Site(deployed, _api)
    server.shutdown()
    server.server_close()
    _api.jobs.stop()


def test_reserved_once_and_given_back_at_the_end(site: Site) -> None:
    refuse(site.platform().check(site.deployment.nodes))
    assert site.running() == []
    assert site.platform().acquire() is True
    again = site.platform()
    assert again.acquire() is False and site.running() == ["compose-lab"]
    found = again.addresses(site.deployment.nodes)
    assert found == {name: f"192.0.2.{machine[-1]}" for name, machine in again._bound.items()} and len(found) == 2
    refuse(again.check([replace(node, address=found[node.name]) for node in site.deployment.nodes]))
    (job,) = again.shares()
    assert "compose-lab" in job
    again.teardown()
    assert again.shares() == []
    again.teardown()
    assert site.running() == [] and not list(Path(site.deployment.state).glob("*"))


def test_a_job_that_is_over_is_reserved_anew(site: Site) -> None:
    first = site.platform()
    first.acquire()
    boot = Boot(
        "kadeploy",
        Image("web", "debian", "v1", "amd64", {}),
        document(site.deployment.nodes[0]),
        "a-b",
        {"machine": first._bound["web1"]},
    )
    Ledger(site.deployment.state, "web1").told(boot)
    first._site.lender.release()  # type: ignore[union-attr]
    seen = site.platform().observe(site.deployment.nodes)
    assert {name: each.state for name, each in seen.items()} == {"web1": "stopped", "web2": "absent"}
    assert site.platform().acquire() is True


@pytest.mark.parametrize(("on_failure", "left"), [("keep", ["compose-lab"]), ("release", [])])
def test_after_a_run_that_failed(site: Site, on_failure: str, left: list[str]) -> None:
    chosen = site.platform(on_failure=on_failure)
    chosen.acquire()
    assert chosen.run_failed() is (left == [])
    assert site.running() == left and chosen.run_failed() is False


def test_what_was_verified_once_keeps_its_machines(site: Site) -> None:
    chosen = site.platform(on_failure="release")
    chosen.acquire()
    ledger = Ledger(site.deployment.state, "web1")
    ledger.told(
        Boot("kadeploy", Image("web", "debian", "v1", "amd64", {}), document(site.deployment.nodes[0]), "a-b", {})
    )
    ledger.commit()
    assert chosen.run_failed() is False
    assert site.running() == ["compose-lab"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"walltime": "soon"}, "walltime is 'soon', expected H:M:S"),
        ({"start": "2001-01-01 10:00:00"}, "start is '2001-01-01 10:00:00', which is in the past"),
        ({"site": "nowhere"}, "nowhere"),
        ({"url": "http://127.0.0.1:9"}, "127.0.0.1"),
        ({"interface": "command", "site": "", "url": "", "frontend": "-oProxyCommand=x"}, "frontend is"),
        ({"interface": "rest", "site": "", "url": ""}, "url is missing"),
    ],
)
def test_refused_before_anything_is_reserved(
    site: Site, changes: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(ComposeError, match=says):
        refuse(site.platform(**changes).check(site.deployment.nodes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"nodes": 9}, "too few"), ({"properties": "colour='red'"}, "colour"), ({"types": ("deploy", "weird")}, "weird")],
)
def test_refused_by_oar(site: Site, changes: dict[str, t.Any], says: str) -> None:
    with pytest.raises(ComposeError, match=says):
        site.platform(**changes).acquire()
    assert site.running() == []


def test_another_job_of_that_name(site: Site) -> None:
    site.platform().acquire()
    with pytest.raises(InputError, match=r"Asked for: walltime 2:0:0\. It has: walltime 1:0:0"):
        refuse(site.platform(walltime="2:0:0").check(site.deployment.nodes))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, 'walltime is missing, expected H:M:S, for example "3:20:0"'),
        ({"walltime": 12000}, "walltime is 12000, expected text, in quotes"),
        ({"walltime": "1:0:0", "node": 3}, "node"),
        ({"walltime": "1:0:0", "nodes": 1}, "nodes is 1, but the deployment has 2 nodes"),
        ({"walltime": "1:0:0", "types": "deploy"}, "types is 'deploy', expected a list"),
        ({"walltime": "1:0:0", "interface": "http"}, "interface is 'http'"),
        ({"walltime": "1:0:0", "on_failure": "panic"}, "on_failure is 'panic'"),
        ({"walltime": "1:0:0", "properties": 3}, "properties is 3, expected text"),
        ([], "reservation"),
    ],
)
def test_reservations_that_are_none(given: t.Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        reading.parse_reservation(given, "lab", 2, "x.compose.yml: reservation")


def test_a_reservation_travels_with_the_inventory(site: Site) -> None:
    read = reading.parse_reservation({"walltime": "1:0:0", "queue": "night"}, "lab", 2, "x")
    assert read == Reservation(2, "1:0:0", "compose-lab", queue="night")
    shared, own = to_hostvars(replace(site.deployment, reservation=read))
    assert from_hostvars("lab", {name: {**shared, **each} for name, each in own.items()}).reservation == read
    without, own = to_hostvars(replace(site.deployment, reservation=None))
    assert "compose_reservation" not in without
    assert from_hostvars("lab", {name: {**without, **each} for name, each in own.items()}).reservation is None


def test_no_deployment_takes_longer_than_its_job(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = site.platform(walltime="0:30:0")
    chosen.acquire()
    (group,) = chosen._groups(targets(chosen, tmp_path))
    assert 1700 < group.timeout < 1900
    later = time.time() + chosen._site.lender.left() - 5  # type: ignore[union-attr]
    monkeypatch.setattr(lender, "time", types.SimpleNamespace(time=lambda: later))
    with pytest.raises(ComposeError, match=r"the job of the machines ends in \d s, too soon to deploy them: extend it"):
        chosen._groups(targets(chosen, tmp_path))


def test_oar_that_does_not_answer_is_in_nobodys_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = site.platform()
    chosen.acquire()

    def unanswered(name: str) -> t.NoReturn:
        raise ComposeError("no answer")

    monkeypatch.setattr(chosen._site.lender._site, "named", unanswered)  # type: ignore[union-attr]
    assert chosen._site.lender.left() == float("inf")  # type: ignore[union-attr]
    assert chosen._site.lender.still_holds()  # type: ignore[union-attr]


def test_without_a_reservation_nothing_bounds_it(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1", url=serve().url)
    (group,) = chosen._groups(targets(chosen, tmp_path))
    assert group.timeout == 3600


def test_a_reservation_that_the_file_lost_is_not_forgotten(site: Site) -> None:
    site.platform().acquire()
    without = Kadeploy(replace(site.deployment, reservation=None), Progress())
    for refused in (lambda: refuse(without.check(site.deployment.nodes)), without.teardown):
        with pytest.raises(InputError, match="the deployment has job 1 for its machines, but its file has no"):
            refused()
    site.platform().teardown()
    assert site.running() == []


@pytest.mark.parametrize("then", ["acquire", "teardown"])
def test_killed_while_it_reserves(site: Site, then: str) -> None:
    """Whatever a run that was killed has left, the next one finds, and a destroy gives back."""

    def run(before: t.Callable[[str], None]) -> None:
        before("acquire")
        site.platform().acquire()

    assert until_done(run, "acquire") > 2
    assert set(site.running()) <= {"compose-lab"}
    if then == "acquire":
        site.platform().acquire()
        assert site.running() == ["compose-lab"]
    site.platform().teardown()
    assert site.running() == [] and not list(Path(site.deployment.state).glob("*"))


def test_nodes_are_lost_when_the_job_is_over(site: Site) -> None:
    chosen = site.platform()
    chosen.acquire()
    chosen._site.lender.release()  # type: ignore[union-attr]
    found = chosen.lost(site.deployment.nodes)
    assert {name: (each.why, each.certain) for name, each in found.items()} == dict.fromkeys(
        ("web1", "web2"), ("the job that had its machine is over", True)
    )
