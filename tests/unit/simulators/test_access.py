"""Users, tokens, privileges and tickets."""

from __future__ import annotations

import time

import proxmoxer
import pytest

from .conftest import PATIENCE, Client, Simulate

STORAGE_PM = "at /usr/share/perl5/PVE/Storage.pm"
VM = "/nodes/pve1/qemu/100"


def limited(pve: Client, privileges: str, path: str = "/vms/100", **token: int) -> Client:
    """A token with a role of some privileges on a path."""
    pve.do("POST", "/access/users", userid="dep@pve", password="verysecret1")
    pve.do("POST", "/access/roles", roleid="Deployer", privs=privileges)
    pve.do("PUT", "/access/acl", path=path, users="dep@pve", roles="Deployer")
    made = pve.call("POST", "/access/users/dep@pve/token/ci", **(token or {"privsep": 0})).data
    return Client(pve.server, f"{made['full-tokenid']}={made['value']}")


OPTIONS: list[tuple[str, dict[str, object], str | None]] = [
    ("VM.Config.CPU", {"cores": 2}, None),
    ("VM.Config.CPU", {"memory": 128}, "/vms/100, VM.Config.Memory"),
    ("VM.Config.CPU", {"boot": "order=scsi1"}, "/vms/100, VM.Config.Disk"),
    ("VM.Config.CPU", {"smbios1": "serial=YQ==,base64=1"}, "/vms/100, VM.Config.HWType"),
    ("VM.Config.CPU", {"tags": "a"}, "/vms/100, VM.Config.Options"),
    ("VM.Config.CPU", {"ciuser": "a"}, "/vms/100, VM.Config.Cloudinit|VM.Config.Network"),
    ("VM.Config.CPU", {"scsi5": "local:1"}, "/storage/local, Datastore.AllocateSpace"),
    ("VM.Config.CPU", {"delete": "scsi1"}, "/vms/100, VM.Config.Disk"),
    ("VM.Config.CPU", {"net0": "virtio,bridge=vmbr0"}, "/vms/100, VM.Config.Network"),
    ("VM.Config.Network", {"net0": "virtio,bridge=vmbr0"}, "/sdn/zones/localnetwork/vmbr0, SDN.Use"),
    ("VM.Config.Disk", {"scsi1": "local:100/vm-100-disk-0.qcow2"}, None),
]


def test_privileges_of_options(vm: Client) -> None:
    user = limited(vm, "VM.Audit")
    for privileges, change, lacking in OPTIONS:
        vm.do("PUT", "/access/roles/Deployer", privs=privileges)
        answer = user.call("PUT", f"{VM}/config", **change)
        assert answer.error[1] == (f"Permission check failed ({lacking})" if lacking else "OK"), (privileges, change)


def test_a_missing_disk_privilege_is_found_by_the_task(vm: Client) -> None:
    user = limited(vm, "VM.Config.Options,Datastore.AllocateSpace", "/")
    assert (
        user.task("POST", f"{VM}/config", scsi5="local:1") == "403 Permission check failed (/vms/100, VM.Config.Disk)"
    )


def test_a_token_of_root_is_not_root(vm: Client) -> None:
    assert vm.call("PUT", f"{VM}/config", args="-x").error == (500, "only root can set 'args' config")
    source = vm.call("PUT", f"{VM}/config", scsi5="local:0,import-from=/etc/passwd")
    assert source.error == (500, f"Only root can pass arbitrary filesystem paths. {STORAGE_PM} line 651.")


def test_a_separated_token_has_only_what_both_have(vm: Client) -> None:
    user = limited(vm, "VM.Audit,VM.PowerMgmt", privsep=1)
    assert user.call("GET", f"{VM}/config").error == (403, "Permission check failed (/vms/100, VM.Audit)")
    vm.do("POST", "/access/roles", roleid="Reader", privs="VM.Audit,VM.Snapshot")
    vm.do("PUT", "/access/acl", path="/vms", tokens="dep@pve!ci", roles="Reader")
    assert user.get("/access/permissions") == {"/vms/100": {"VM.Audit": 1}}
    assert [one["vmid"] for one in user.get("/nodes/pve1/qemu")] == [100]


def test_a_pool_gives_rights_on_its_members(vm: Client) -> None:
    vm.do("POST", "/pools", poolid="web")
    user = limited(vm, "VM.Audit,VM.Allocate", "/pool/web")
    assert user.call("GET", f"{VM}/config").status == 403
    vm.do("PUT", "/pools", poolid="web", vms="100")
    assert user.call("GET", f"{VM}/config").status == 200
    assert user.call("POST", "/nodes/pve1/qemu", vmid=101).error == (403, "Permission check failed")
    assert user.task("POST", "/nodes/pve1/qemu", vmid=101, pool="web") == "OK"


def test_tasks_belong_to_their_users(vm: Client) -> None:
    user = limited(vm, "VM.PowerMgmt,VM.Audit")
    assert user.task("POST", f"{VM}/status/start") == "OK"
    assert len(user.get("/nodes/pve1/tasks")) == 1
    other = vm.get("/nodes/pve1/tasks", typefilter="qmcreate")[0]["upid"]
    refused = user.call("GET", f"/nodes/pve1/tasks/{other}/status")
    assert refused.error == (403, "Permission check failed (/nodes/pve1, Sys.Audit)")


def test_a_refused_login_takes_three_seconds(simulate: Simulate) -> None:
    pve = simulate(pace=0.1)
    stranger = Client(pve.server, "root@pam!sim=00000000-0000-0000-0000-000000000000")
    begin = time.monotonic()
    assert stranger.call("GET", "/version").error == (401, "Authentication failed!")
    assert time.monotonic() - begin >= 0.3


def test_a_large_upload_that_is_refused_ends_in_a_reset(vm: Client) -> None:
    user = limited(vm, "VM.Audit")
    small = user.call("POST", "/nodes/pve1/storage/local/upload", files={"filename": ("a.raw", b"x")}, content="import")
    assert small.error == (403, "Permission check failed (/storage/local, Datastore.AllocateTemplate)")
    with pytest.raises(OSError, match=r"reset|Broken pipe|EOF|aborted"):
        user.upload(b"x" * (64 << 20), "a.raw")


def test_proxmoxer_with_a_password(pve: Client) -> None:
    pve.do("POST", "/access/users", userid="ops@pve", password="verysecret1")
    pve.do("PUT", "/access/acl", path="/", users="ops@pve", roles="PVEAdmin")
    certificate = str(pve.cluster.state / "pve-root-ca.pem")
    host = pve.server.url.removeprefix("https://")
    client = proxmoxer.ProxmoxAPI(
        host, user="ops@pve", password="verysecret1", verify_ssl=certificate, timeout=PATIENCE
    )
    assert client.version.get()["release"] == "9.2"
    upid = client.nodes("pve1").qemu.post(vmid=100, scsi0="local:1")
    assert pve.wait(upid) == "OK"
    with pytest.raises(proxmoxer.ResourceException, match="VM 100 not running"):
        client.nodes("pve1").qemu(100).status.reboot.post()


def test_proxmoxer_with_a_token_uploads(pve: Client, image: bytes) -> None:
    user, dummy, secret = pve.token.partition("=")
    name, dummy, token = user.partition("!")
    certificate = str(pve.cluster.state / "pve-root-ca.pem")
    host = pve.server.url.removeprefix("https://")
    login = {"user": name, "token_name": token, "token_value": secret}
    client = proxmoxer.ProxmoxAPI(host, **login, verify_ssl=certificate, timeout=PATIENCE)
    path = pve.cluster.state / "sys.qcow2"
    path.write_bytes(image)
    with path.open("rb") as file:
        upid = client.nodes("pve1").storage("local").upload.post(content="import", filename=file)
    assert pve.wait(upid) == "OK"
