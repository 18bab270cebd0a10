"""Storages: their configuration (pve-storage: API2/Storage/Config.pm, SectionConfig.pm) and what is on them."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import Client

LOCAL = "/nodes/pve1/storage/local"
FAST = {"storage": "fast", "type": "dir", "path": "/srv/fast"}


def make(pve: Client, **more: object) -> Client:
    """A second directory."""
    pve.do("POST", "/storage", **{**FAST, "content": "images", **more})
    return pve


CREATED: list[tuple[dict[str, object], tuple[int, str]]] = [
    ({**FAST, "path": None}, (500, "missing value for required option 'path'")),
    ({**FAST, "path": "srv"}, (400, "path: invalid format - value does not look like a valid absolute path\n")),
    ({**FAST, "path": "/srv/a b"}, (500, "illegal path for directory storage: /srv/a b")),
    ({**FAST, "pool": "tank"}, (500, "unexpected property 'pool'")),
    ({**FAST, "storage": "local"}, (500, "create storage failed: storage ID 'local' already defined")),
    (
        {**FAST, "is_mountpoint": 1},
        (
            500,
            "create storage failed: unable to activate storage 'fast' - directory is expected to be a mount point"
            " but is not mounted: '/srv/fast'",
        ),
    ),
    (
        {**FAST, "create-base-path": 0},
        (
            500,
            "create storage failed: unable to activate storage 'fast' - directory '/srv/fast' does not exist or is"
            " unreachable",
        ),
    ),
    (
        {"storage": "thin", "type": "lvmthin", "thinpool": "thin", "vgname": "vg", "content": "import"},
        (500, "storage does not support content type 'none'"),
    ),
]


@pytest.mark.parametrize(("parameters", "error"), CREATED)
def test_storages_that_cannot_be_made(pve: Client, parameters: dict[str, object], error: tuple[int, str]) -> None:
    given = {key: value for key, value in parameters.items() if value is not None}
    assert pve.call("POST", "/storage", **given).error == error


CHANGED: list[tuple[str, dict[str, object], str]] = [
    ("fast", {"delete": "path"}, "unable to delete required option 'path'"),
    ("fast", {"delete": "snapshot-as-volume-chain"}, "unable to delete fixed option 'snapshot-as-volume-chain'"),
    ("fast", {"delete": "color"}, "no such option 'color'"),
    ("fast", {"delete": "content", "content": "iso"}, "cannot set and delete property 'content' at the same time!"),
    ("fast", {"snapshot-as-volume-chain": 1}, "can't change value of fixed parameter 'snapshot-as-volume-chain'"),
    ("fast", {"content": "none,iso"}, "unable to combine 'none' with other content types"),
    ("fast", {"content": ""}, "got undefined value for option 'content'"),
    ("fast", {"pool": "tank"}, "unexpected property 'pool'"),
    ("slow", {"content": "iso"}, "storage 'slow' does not exist"),
]


@pytest.mark.parametrize(("storage", "parameters", "error"), CHANGED)
def test_storages_that_cannot_change(pve: Client, storage: str, parameters: dict[str, object], error: str) -> None:
    answer = make(pve).call("PUT", f"/storage/{storage}", **parameters)
    assert answer.error == (500, f"update storage failed: {error}")


def test_a_storage_goes_with_the_rights_on_it(pve: Client) -> None:
    make(pve).do("POST", "/pools", poolid="pool1")
    pve.do("PUT", "/pools", poolid="pool1", storage="fast")
    pve.do("POST", "/access/groups", groupid="staff")
    pve.do("PUT", "/access/acl", path="/storage/fast", groups="staff", roles="PVEDatastoreUser")
    pve.do("DELETE", "/storage/fast")
    assert pve.get("/access/acl") == []
    assert pve.get("/pools/pool1")["members"] == []
    pve.do("DELETE", "/storage/local")  # every node has it
    assert "import" not in pve.get("/storage/local")["content"]


def test_storages_that_are_not_there_for_a_node(pve: Client) -> None:
    make(pve, nodes="pve2")
    make(pve, storage="off", disable=1)
    for storage, told in (("fast", "is not available on node 'pve1'"), ("off", "is disabled")):
        answer = pve.call("GET", f"/nodes/pve1/storage/{storage}/content")
        assert answer.error == (500, f"storage '{storage}' {told}")
        made = pve.task("POST", "/nodes/pve1/qemu", vmid=100, scsi0=f"{storage}:1")
        assert made == f"unable to create VM 100 - storage '{storage}' {told}"
    # API2/Storage/Status.pm: what has not the content is no storage
    filtered = pve.call("GET", "/nodes/pve1/storage", storage="off", content="images")
    assert filtered.error == (400, "storage: No such storage.")


VOLUMES: list[tuple[str, str, dict[str, object], tuple[int, str]]] = [
    ("GET", "local:import/none.qcow2", {}, (500, "volume_size_info on 'local:import/none.qcow2' failed - no format")),
    ("GET", "other:import/a.qcow2", {}, (400, "volume: storage ID mismatch (other != local)\n")),
    ("GET", "nothing", {}, (500, "unable to parse directory volume name 'nothing'")),
    ("GET", "100/snap-a-vm.qcow2", {}, (500, "'snap-a-vm.qcow2' is a snapshot filename, not a volume!")),
    ("PUT", "local:import/sys.qcow2", {"notes": "x"}, (500, "only backups can have notes")),
    ("PUT", "local:import/sys.qcow2", {"protected": 1}, (500, "only backups support attribute 'protected'")),
]


@pytest.mark.parametrize(("verb", "volume", "parameters", "error"), VOLUMES)
def test_volumes(pve: Client, verb: str, volume: str, parameters: dict[str, t.Any], error: tuple[int, str]) -> None:
    assert pve.call(verb, f"{LOCAL}/content/{volume}", **parameters).error == error


def test_volumes_that_cannot_be_made(pve: Client) -> None:
    plain = {"vmid": 100, "size": "1M"}
    assert pve.call("POST", f"{LOCAL}/content", filename="disk", **plain).error == (
        500,
        "unable to parse volume filename 'disk'",
    )
    subvolume = pve.call("POST", f"{LOCAL}/content", filename="vm-100-x.subvol", format="subvol", **plain)
    assert subvolume.error == (500, "storage does not support subvol quotas")


def test_an_upload_to_a_node_that_is_not_known(pve: Client) -> None:
    files = {"filename": ("a.iso", b"x" * 4096)}
    answer = pve.call("POST", "/nodes/pve9/storage/local/upload", files=files, content="iso")
    assert (answer.status, answer.reason[:28]) == (500, "hostname lookup 'pve9' faile")
