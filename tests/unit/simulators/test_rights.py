"""Groups, roles, rights, pools, tags (pve-access-control: API2, RPCEnvironment.pm; pve-manager: API2/Pool.pm)."""

from __future__ import annotations

import typing as t

import pytest

from .conftest import Client
from .test_access import limited

QEMU = "/nodes/pve1/qemu"
USERS, ROLES, ACL = "/access/users", "/access/roles", "/access/acl"


@pytest.fixture
def team(pve: Client) -> Client:
    """A user in a group, a role."""
    pve.do("POST", "/access/groups", groupid="staff", comment="people")
    pve.do("POST", USERS, userid="ann@pve", password="verysecret1", groups="staff")
    pve.do("POST", ROLES, roleid="Deployer", privs="VM.Audit,VM.Allocate")
    return pve


REFUSED: list[tuple[str, str, dict[str, object], tuple[int, str]]] = [
    ("POST", USERS, {"userid": "bob@ldap", "password": "verysecret1"}, (500, "create user failed: auth domain 'ldap'")),
    ("PUT", f"{USERS}/ann@pve", {"groups": "crew"}, (500, "update user failed: no such group 'crew'")),
    ("GET", f"{USERS}/bob@pve/token", {}, (403, "Permission check failed")),
    ("PUT", "/access/groups/crew", {"comment": "x"}, (500, "update group failed: group 'crew' does not exist")),
    ("GET", "/access/groups/crew", {}, (500, "group 'crew' does not exist")),
    ("POST", ROLES, {"roleid": "pveMine"}, (400, "roleid: cannot use role ID starting with the (case-insensitive)")),
    ("GET", "/access/domains/ldap", {}, (500, "domain 'ldap' does not exist")),
    ("PUT", ACL, {"path": "/vms/x", "users": "ann@pve", "roles": "Deployer"}, (400, "path: invalid ACL path '/vms/x'")),
    ("PUT", ACL, {"path": "/", "users": "bob@pve", "roles": "Deployer"}, (500, "ACL update failed: user 'bob@pve'")),
    ("POST", USERS, {"userid": "bob"}, (500, "value 'bob' does not look like a valid user name")),
    ("POST", "/pools", {"poolid": "a b"}, (403, "Permission check failed (, Pool.Allocate)")),
    ("POST", "/pools", {"poolid": "1st"}, (500, "create pool failed: pool name must start with a letter")),
    ("POST", "/pools", {"poolid": "a/b"}, (500, "create pool failed: parent 'a' of pool 'a/b' does not exist")),
    ("GET", "/pools", {"type": "qemu"}, (400, "poolid: missing property required by 'type'")),
    (
        "PUT",
        "/cluster/options",
        {"next-id": "lower=5000,upper=400"},
        (500, "lower (5000) <= upper (400) boundary rule"),
    ),
]


@pytest.mark.parametrize(("verb", "path", "parameters", "error"), REFUSED)
def test_what_is_refused(
    team: Client, verb: str, path: str, parameters: dict[str, t.Any], error: tuple[int, str]
) -> None:
    status, text = team.call(verb, path, **parameters).error
    assert (status, text[: len(error[1])]) == error


def test_an_error_under_a_lock_is_text(team: Client) -> None:
    """AccessControl.pm: lock_user_config puts its words before the error, which loses code and parameters."""
    team.do("POST", f"{USERS}/ann@pve/token/ci", privsep=0)
    answer = team.call("PUT", f"{USERS}/ann@pve/token/ci", delete="expire")
    assert answer.status == 500
    told = "updating token info failed: 400 Parameter verification failed.\ndelete: unknown option 'expire'\n"
    assert (answer.body["message"], answer.body.get("errors")) == (told, None)


def test_a_path_is_put_into_its_one_form(team: Client) -> None:
    team.do("PUT", ACL, path="vms//100/", groups="staff", roles="Deployer")
    assert [entry["path"] for entry in team.get(ACL)] == ["/vms/100"]
    team.do("DELETE", f"{ROLES}/Deployer")
    assert team.get(ACL) == []


def test_a_part_of_the_own_rights_can_be_given(pve: Client) -> None:
    """API2/ACL.pm: without Permissions.Modify only a subset, and only as far as it is inherited."""
    user = limited(pve, "VM.Audit,VM.Allocate")
    pve.do("POST", ROLES, roleid="Audit", privs="VM.Audit")
    grant = {"path": "/vms/100", "users": "dep@pve"}
    user.do("PUT", ACL, **grant, roles="Audit")
    told = "requires 'Permissions.Modify' or superset of privileges.\n"
    assert user.call("PUT", ACL, **grant, roles="PVEVMUser").body["message"].endswith(told)
    assert "role: Cannot add role 'NoAccess'" in user.call("PUT", ACL, **grant, roles="NoAccess").body["message"]
    foreign = user.call("PUT", ACL, path="/vms/101", users="dep@pve", roles="Audit")
    assert foreign.error == (403, "Permission check failed (/vms/101, Permissions.Modify|VM.Allocate)")


def test_who_makes_users_needs_rights_on_their_groups(pve: Client) -> None:
    user = limited(pve, "Realm.AllocateUser", "/access/realm/pve")
    new = {"userid": "bob@pve", "groups": "staff"}
    refused = user.call("POST", USERS, **new)
    assert refused.error == (403, "Permission check failed (/access/groups/staff, User.Modify)")
    pve.do("POST", "/access/groups", groupid="staff")
    pve.do("POST", ROLES, roleid="Head", privs="User.Modify")
    pve.do("PUT", ACL, path="/access/groups/staff", users="dep@pve", roles="Head")
    user.do("POST", USERS, **new)
    assert [one["userid"] for one in user.get(USERS)] == ["bob@pve"]
    assert pve.get("/access/groups/staff")["members"] == ["bob@pve"]


def test_pools_and_their_members(pve: Client) -> None:
    for vmid in (100, 101):
        assert pve.task("POST", QEMU, vmid=vmid) == "OK"
    for pool in ("prod", "prod/web"):
        pve.do("POST", "/pools", poolid=pool)
    pve.do("PUT", "/pools", poolid="prod", vms="100,101", storage="local")
    moved = pve.call("PUT", "/pools", poolid="prod/web", vms="100")
    told = "update pools failed: VM 100 belongs already to pool 'prod' and 'allow-move' is not set"
    assert moved.error == (500, told)
    pve.do("PUT", "/pools", poolid="prod/web", vms="100", allow__move=1)
    assert [one["id"] for one in pve.get("/pools/prod")["members"]] == ["qemu/101", "storage/pve1/local"]
    for pool, member in (("prod", "pool 'prod/web'"), ("prod/web", "VM 100")):
        answer = pve.call("DELETE", "/pools", poolid=pool)
        assert answer.error == (500, f"delete pool failed: pool '{pool}' is not empty (contains {member})")
    user = limited(pve, "Pool.Allocate", "/pool/prod")
    refused = user.call("PUT", "/pools", poolid="prod", vms="100").body["message"]
    missing = "Permission check failed (/vms/100, Permissions.Modify|VM.Allocate)"
    assert refused == f"update pools failed: 403 {missing}\n"


def test_tags_of_administrators(vm: Client) -> None:
    """GuestHelpers.pm: registered tags need Sys.Modify; other rules of the data centre."""
    user = limited(vm, "VM.Audit,VM.Config.Options")
    path = f"{QEMU}/100/config"
    vm.do("PUT", "/cluster/options", registered__tags="prod")
    user.do("PUT", path, tags="web")
    told = "Permission check failed (/, Sys.Modify for modifying tag 'prod')"
    assert user.call("PUT", path, tags="web;prod").error == (403, told)
    vm.do("PUT", "/cluster/options", user__tag__access="user-allow=list,user-allow-list=blue")
    user.do("PUT", path, tags="web;blue")
    assert user.call("PUT", path, tags="blue").error[0] == 403
    vm.do("PUT", "/cluster/options", tag__style="ordering=config,case-sensitive=1", next__id="lower=500")
    vm.do("PUT", path, tags="Zoo;apple")
    assert vm.config()["tags"] == "Zoo;apple"
    assert vm.get("/cluster/nextid") == "500"


def test_the_log_of_a_task_that_never_was(pve: Client) -> None:
    path = "/nodes/pve1/tasks/UPID:pve1:00000001:00000001:60000000:qmstart:100:root@pam:"
    assert pve.get(f"{path}/log") == [{"n": 1, "t": "unable to open file - No such file or directory"}]
    assert pve.call("GET", f"{path}/status").error == (400, "upid: no such task")
    assert [entry["name"] for entry in pve.get(path)] == ["log", "status"]
