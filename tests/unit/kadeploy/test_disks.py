"""Disks of machines for data volumes: what is refused, what nodes are told, and what is reserved with them."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe import reservation as reading
from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node, Reservation
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Disk
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.oar import desk
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import disks
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.platform import Kadeploy
from ansible_collections.immutable.compose.plugins.module_utils.platforms.ledger import Ledger
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document
from .conftest import Serve, start_api
from .test_platform import platform, refused

TMP = "/dev/disk/by-partlabel/KDPL_TMP_disk0"


def node(**options: t.Any) -> Node:
    return Node("db1", "db", options=options)


def deployment(*nodes: Node, **more: t.Any) -> Deployment:
    return Deployment("lab", "/c", "debian", "kadeploy", nodes, composition_name="web", **more)


@pytest.mark.parametrize(
    ("options", "lent", "says"),
    [
        ({"volumes": ["db=disk0"]}, True, "volumes: db=disk0: disk0 is the system disk"),
        ({"volumes": ["db=disk1"]}, False, "volumes: db=disk1: the reservation has no scratch disks; 'disks: true'"),
        ({"raw_disks": ["osd=disk1"]}, False, "raw_disks: osd=disk1: the reservation has no scratch disks"),
        ({"volumes": ["db=disk1", "log=disk1"]}, True, "volumes: log=disk1: 'db' has that disk already"),
        ({"volumes": ["db=disk1"], "raw_disks": ["osd=disk1"]}, True, "raw_disks: osd=disk1: 'db' has that disk"),
        ({"volumes": ["db=disk1", "db=disk2"]}, True, "volumes: db=disk2: 'db' has a disk already"),
        ({"volumes": ["db=disk1"], "raw_disks": ["db=disk2"]}, True, "raw_disks: db=disk2: 'db' has a disk already"),
        ({"volumes": ["db=/dev/disk/by-partlabel/KDPL_PROD_disk0"]}, None, "that partition is the system's"),
        ({"raw_disks": ["db=/dev/disk/by-partlabel/efi"]}, None, "that partition is the system's"),
        ({"volumes": [f"db={TMP}"], "partition": "TMP"}, None, "that partition is the system's"),
        ({"volumes": ["db=disk1"], "wipe": ["log"]}, True, "wipe has 'log', expected names of 'volumes'"),
    ],
)
def test_disks_that_a_node_cannot_have(options: t.Any, lent: bool | None, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("'", ".")) as error:
        refuse(disks.wrong([node(**options)], lent))
    assert error.value.node == "db1"


@pytest.mark.parametrize("lent", [True, None])
def test_disks_that_it_can_have(lent: bool | None) -> None:
    options = {"volumes": ["db=disk1", f"log={TMP}"], "raw_disks": ["osd=disk2"], "wipe": ["log"]}
    assert disks.wrong([node(**options)], lent) == []
    assert disks.wrong([node(volumes=[f"log={TMP}"])], False) == []


@pytest.mark.parametrize("word", ["db", "db=", "=disk1", "db=sdb", "db=/dev/sdb", "DB=disk1", "db=/dev/disk/by-id/a b"])
def test_words_that_name_no_disk(word: str) -> None:
    for option in ("volumes", "raw_disks"):
        with pytest.raises(InputError, match="expected a name and a disk, as db=disk1"):
            validate_options(Kadeploy, {option: [word]}, "x", "platform")


def test_volumes_without_a_disk_are_told_by_node(tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1")
    nodes = [node(volumes=["db=disk1"]), replace(node(), name="db2"), Node("web1", "web")]
    problems = chosen.check_volumes(nodes, {"db": {"db": Volume("/srv/db")}, "web": {}})
    assert [(problem.node, problem.key) for problem in problems] == [("db2", "volumes")]
    assert "role 'db' has data volumes for which no disk is given: db" in problems[0].message


def test_what_a_node_is_told() -> None:
    wanted = node(volumes=["db=disk1", f"log={TMP}"], raw_disks=["osd=disk2"], wipe=["log"])
    first, log, osd = disks.disks_of(deployment(wanted), wanted)
    assert (first.name, first.device, first.wipe, first.adopt) == ("db", "/dev/disk1", False, False)
    assert first.owner == "volume 'db' of role 'db' of composition 'web' (node 'db1' of deployment 'lab')"
    assert (log.device, log.wipe) == (TMP, True) and osd == Disk("osd", "/dev/disk2")
    assert disks.disks_of(deployment(wanted, adopt_data=("db1",)), wanted)[0] == replace(first, adopt=True)


def test_whose_a_file_system_is_shows_its_uuid() -> None:
    one = node(volumes=["db=disk1", "log=disk2"])
    lab = deployment(one)
    others = [
        (lab, replace(one, name="db2")),
        (lab, replace(one, role="web")),
        (replace(lab, name="other"), one),
        (replace(lab, composition_name="other"), one),
    ]
    found = {disk.uuid for where, each in [(lab, one), *others] for disk in disks.disks_of(where, each)}
    assert len(found) == 10
    elsewhere = replace(one, options={"volumes": ["db=disk3", "log=disk4"], "wipe": ["db"]})
    assert {disk.uuid for disk in disks.disks_of(lab, elsewhere)} == {disk.uuid for disk in disks.disks_of(lab, one)}


def test_it_is_refused_with_all_else(serve: Serve, tmp_path: Path) -> None:
    said = refused(platform(tmp_path, "sim-9", url=serve().url, volumes=["db=disk0"]))
    assert "disk0 is the system disk" in said and "no machine 'sim-9'" in said


@pytest.fixture
def site(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[..., Kadeploy]]:
    """Platforms with a reservation at a site whose machines have two scratch disks, as many as there are steps."""
    monkeypatch.setattr(desk, "_FIRST", 0.02)
    kadeploy = serve(rights={})
    server, api = start_api(tmp_path / "api", kadeploy.url, disks=2)
    (tmp_path / "served").mkdir()
    url, login = f"{server.url}/stable", {"user": "alice", "password": "alice"}

    def chosen(*volumes: str, lent: bool = True) -> Kadeploy:
        options = {"url": kadeploy.url, "directory": str(tmp_path / "served"), "volumes": list(volumes)}
        wanted = Reservation(1, "1:0:0", "compose-lab", interface="grid5000", site="grenoble", url=url, disks=lent)
        web = Node("web1", "web", 1, "192.0.2.1", address_given=True, options=options)
        state = str(tmp_path / "state")
        return Kadeploy(deployment(web, state=state, reservation=wanted, credentials=login), Progress())

    yield chosen
    server.shutdown()
    server.server_close()
    api.jobs.stop()


def test_scratch_disks_are_reserved_with_the_machines(site: t.Callable[..., Kadeploy]) -> None:
    with pytest.raises(ComposeError, match="no such nodes, or too few: asked for 1 node, for 1:0:0, .*disks 3 or more"):
        site("db=disk3").acquire()
    refuse(site("db=disk2").check(site().deployment.nodes))
    assert site("db=disk2").acquire() is True
    asked = site("db=disk2")._site.lender._request  # type: ignore[union-attr]
    assert "disk_reservation_count >= 2" in asked.resources
    assert "type='disk'" not in site(lent=False)._site.lender._request.resources  # type: ignore[union-attr]


def test_data_that_stay_behind_are_told(site: t.Callable[..., Kadeploy], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = site("db=disk1")
    (web,) = chosen.deployment.nodes
    said: list[str] = []
    monkeypatch.setattr(chosen.progress, "say", said.append)
    image = Image("web", "debian", "v1", "amd64", {}, volumes={"db": Volume("/srv/db")})
    boot = Boot("kadeploy", image, document(web), "a-b", {"machine": "sim-4"})
    Ledger(chosen.deployment.state, "web1").told(boot)
    chosen._placement.bound["web1"] = "sim-1"
    stays = "its data (db) stay on sim-4, and are not on sim-1"
    assert chosen._placement.elsewhere("web1") == ("on machine sim-4, not on sim-1", stays)
    chosen._placement.bound["web1"] = "sim-4"
    assert chosen._placement.elsewhere("web1") == () and chosen._placement.data_left("web1") == ""
    chosen.acquire()
    machine = chosen._bound["web1"]
    assert machine != "sim-4" and f"web1: its data (db) stay on sim-4, and are not on {machine}" in said
    Ledger(chosen.deployment.state, "web1").told(replace(boot, image=replace(image, volumes={})))
    assert chosen._placement.data_left("web1") == ""


@pytest.mark.parametrize(("given", "read"), [({}, False), ({"disks": True}, True)])
def test_in_the_deployment_file(given: dict[str, bool], read: bool) -> None:
    found = reading.parse_reservation({"walltime": "1:0:0", **given}, "lab", 1, "x")
    assert found is not None and found.disks is read
    with pytest.raises(InputError, match="reservation.disks is 'yes', expected true or false"):
        reading.parse_reservation({"walltime": "1:0:0", "disks": "yes"}, "lab", 1, "reservation")
