"""Who may not do what is needed, or is not who he says, learns it before anything is touched."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from proxmox.calls import ANSWERS

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import privileges
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.access import Access
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.answers import Version
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.client import Client
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import World
from .disturbance import Lab

Grants = dict[str, set[str]]
#: What a deployment needs that makes VMs, clones images and secures data by snapshots.
NEEDED: Grants = {
    "/vms": {*privileges.VM, *privileges.MAKING, *privileges.CLONING, *privileges.SNAPSHOT},
    "/storage/ceph": {*privileges.DISKS},
    "/storage/local": {*privileges.UPLOADS},
    "/sdn/zones/localnetwork/vmbr0": {*privileges.NETWORK},
}
#: Who has it.
TOKEN = "deploy@pve!compose"
EACH = sorted((path, privilege) for path, names in NEEDED.items() for privilege in names)


@pytest.fixture
def minimal(lab_of: t.Callable[..., Lab]) -> Lab:
    """A lab without VMs, and a token that has exactly what is needed."""
    lab = lab_of("clone", snapshot="vm")
    lab.restore(lab.empty)
    _be_minimal(lab, NEEDED)
    return lab


def _be_minimal(lab: Lab, grants: Grants) -> None:
    lab.wire.ask("POST", "/access/users", userid="deploy@pve")
    lab.wire.ask("POST", f"/access/users/deploy@pve/token/{TOKEN.partition('!')[2]}", privsep=0)
    for path, names in grants.items():
        role = _role(path)
        lab.wire.ask("POST", "/access/roles", roleid=role, privs=" ".join(names))
        lab.wire.ask("PUT", "/access/acl", path=path, users="deploy@pve", roles=role)


def _role(path: str) -> str:
    return f"Compose{path.replace('/', '-')}"


def _grant(lab: Lab, grants: Grants) -> None:
    """The token may do this, and nothing else."""
    lab.wire.user = "root@pam!sim"
    for path, names in grants.items():
        lab.wire.ask("PUT", f"/access/roles/{_role(path)}", privs=" ".join(names))
    lab.wire.user = TOKEN


def test_the_privileges_are_enough(minimal: Lab) -> None:
    minimal.written = False
    minimal.wire.user = TOKEN
    assert minimal.run("one", "d1") == []
    assert minimal.run("two", "d2") == []
    platform = minimal.platform()
    outcomes = platform.remove(["web1"], data=True, tell=minimal.world.tell)
    assert outcomes["web1"].ok, outcomes
    minimal.platform().teardown()
    minimal.wire.user = "root@pam!sim"
    assert (minimal.volumes(), minimal.uploads(), minimal.world.vmids()) == (set(), set(), [])


def test_a_pool_is_enough_and_the_right_to_set_tags(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("clone", snapshot="vm", pool="web", prepare=lambda wire: wire.ask("POST", "/pools", poolid="web"))
    lab.restore(lab.empty)
    _be_minimal(lab, {**NEEDED, "/vms": {*privileges.TAGGING}, "/pool/web": NEEDED["/vms"]})
    lab.wire.user = TOKEN
    assert lab.run("one", "d1") == []
    assert lab.run("two", "d2") == []
    _grant(lab, {"/vms": set()})
    assert "what is needed: on /vms: VM.Config.Options (if its user" in lab.run("one", "d1")[0]


def test_rights_on_the_vm_are_enough_where_none_is_made(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("import")
    _be_minimal(lab, {"/vms/100": {*privileges.VM}, "/storage/local": {*privileges.UPLOADS, *privileges.DISKS}})
    lab.wire.user = TOKEN
    assert lab.run("two", "d2") == []
    lab.wire.user = "root@pam!sim"
    lab.converge()


def test_each_privilege_is_demanded_and_needed(minimal: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = privileges.Privileges.missing
    for path, privilege in EACH:
        minimal.restore(minimal.empty)
        _grant(minimal, {**NEEDED, path: NEEDED[path] - {privilege}})
        (words,) = minimal.run("one", "d1")
        # A storage on which one may allocate nothing is not even seen.
        unseen = privilege == "Datastore.AllocateSpace" and f"may see ({privilege} (if its user" in words
        assert unseen or f"what is needed: on {path}: {privilege} (if its user" in words
        monkeypatch.setattr(privileges.Privileges, "missing", lambda self: [])
        wrong = minimal.run("one", "d1") or minimal.run("two", "d2")
        assert wrong or minimal.uploads() | minimal.volumes() > minimal.world.named(), (path, privilege)
        monkeypatch.setattr(privileges.Privileges, "missing", missing)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"address": "agent"}, "on /vms: VM.GuestAgent.Audit"),
        ({"ha": True}, "on /: Sys.Audit, Sys.Console"),
        ({"pool": "web"}, "on /pool/web: "),
        ({"networks": ["bridge=vmbr0,tag=20"]}, "on /sdn/zones/localnetwork/vmbr0/20: SDN.Use"),
    ],
)
def test_options_need_more(minimal: Lab, options: dict[str, t.Any], where: str) -> None:
    minimal.wire.user = TOKEN
    if "networks" in options:
        _grant(minimal, {"/sdn/zones/localnetwork/vmbr0": set()})
    minimal.options = {**minimal.options, **options}
    (words,) = minimal.run("one", "d1")
    assert where in words


def test_version_8_has_another_privilege_for_the_agent(minimal: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    minimal.wire.user = TOKEN
    minimal.options = {**minimal.options, "address": "agent"}
    _tell_version(monkeypatch, "8.4.1")
    (words,) = minimal.run("one", "d1")
    assert "on /vms: VM.Monitor (if its user" in words


def _tell_version(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setitem(ANSWERS, "GET /version", lambda cluster, call: {"version": version, "release": "8"})


# -- over the network ------------------------------------------------------------------------------------------------


def _wrong(world: World, storage: str | None = "local", **credentials: str) -> str:
    """What the check says."""
    deployment = world.deployment("web1", storage=storage)
    changed = replace(deployment, credentials={**deployment.credentials, **credentials})
    with pytest.raises(ComposeError) as error:
        refuse(Proxmox(changed, Progress(str(world.directory / "progress"))).check(changed.nodes))
    assert deployment.credentials["token_secret"] not in str(error.value)
    return str(error.value)


def test_a_wrong_token(world: World) -> None:
    words = _wrong(world, token_secret="6f2f9ac1-0000-0000-0000-000000000000")
    assert words.startswith("Proxmox refused GET /version: 401 ")
    assert words.endswith("(as token root@pam!sim)")
    assert "6f2f9ac1" not in words


def test_a_ticket_is_renewed_before_it_expires(world: World) -> None:
    world.call("POST", "/access/users", userid="deploy@pve", password="open sesame")
    access = Access(
        *(world.deployment().credentials["host"].split(":")),
        user="deploy@pve",
        password="open sesame",
        ca_file=str(world.state / "pve-root-ca.pem"),
    )
    client = Client(access)
    client.get(Version, "/version")
    auth = client._api._store["session"].auth
    auth.birth_time -= 3700
    client.get(Version, "/version")
    assert world.calls().count("POST /api2/json/access/ticket") == 2
    auth.birth_time -= 8000
    auth.pve_auth_ticket = "expired"
    with pytest.raises(ComposeError, match="does not let 'deploy@pve' in any more"):
        client.get(Version, "/version")


def test_a_certificate_that_is_not_trusted(world: World, cluster_of: t.Callable[..., World]) -> None:
    authority = cluster_of().state / "pve-root-ca.pem"
    for credentials in (
        {"ca_file": ""},
        {"ca_file": str(authority)},
        {"ca_file": "", "fingerprint": "AB:" * 31 + "AB"},
    ):
        words = _wrong(world, **credentials)
        assert words.startswith("the certificate of Proxmox at 127.0.0.1, port "), words
        assert "is not trusted; give the cluster's authority as ca_file" in words


def test_a_server_that_does_not_answer(world: World) -> None:
    assert "broke (GET /version)" in _wrong(world, host="127.0.0.1:1")


def test_an_old_version(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _tell_version(monkeypatch, "7.4-17")
    words = "Proxmox VE at 127.0.0.1 is version 7.4-17; at least 8.4 is needed, disk images cannot be uploaded"
    assert _wrong(world).startswith(words)


def test_storages(cluster_of: t.Callable[..., World], tmp_path: Path) -> None:
    world = cluster_of()
    assert _wrong(world, storage=None) == "web1: has no storage"
    assert _wrong(world, storage="tank") == (
        "web1: Proxmox has no storage 'tank' that token root@pam!sim may see (Datastore.AllocateSpace); there are: "
        "ceph, local"
    )
    bare = cluster_of(storages={"local": {"type": "dir", "path": "/var/lib/vz", "content": "images,iso"}})
    words = (
        "no storage of Proxmox that token root@pam!sim may see (Datastore.AllocateSpace) takes images to import; allow"
    )
    assert _wrong(bare).startswith(words)
    with pytest.raises(ComposeError, match="storage 'ceph' takes no images to import; allow it: pvesm set ceph"):
        platform = world.platform("web1", import_storage="ceph")
        refuse(platform.check(platform.deployment.nodes))
