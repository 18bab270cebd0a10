"""Users, tokens, tickets."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .errors import ApiError, parameter_error, permission_error
from .formats import split_list, user_name

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]


@answers("GET /access/ticket")
def get_ticket(cluster: Cluster, call: Call) -> None:
    """Does nothing; some clients ask."""


@answers("POST /access/ticket")
def create_ticket(cluster: Cluster, call: Call) -> Record:
    """A ticket for a password."""
    user = str(call.get("username"))
    if call.get("realm"):
        user += f"@{call.get('realm')}"
    ticket = cluster.access.login(user, call.get("password") or "")
    cap: dict[str, dict[str, int]] = {}
    for path, kind in (
        ("/vms", "vms"),
        ("/storage", "storage"),
        ("/nodes", "nodes"),
        ("/access", "access"),
        ("/", "dc"),
    ):
        cap[kind] = dict.fromkeys(cluster.access.permissions(user, path), 1)
    return {**ticket, "cap": cap}


@answers("GET /access/permissions")
def permissions(cluster: Cluster, call: Call) -> Record:
    """What the user (or another one) may do, by path."""
    access = cluster.access
    user = call.get("userid") or call.user
    if user != call.user and user.partition("!")[0] != call.user:
        access.check(call.user, "/access", ["Sys.Audit"])
    if call.get("path"):
        path = str(call.get("path"))
        return {path: access.permissions(user, path)}
    paths = {"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
    paths |= {entry["path"] for entry in access.data["acl"]}
    for pool in access.data["pools"].values():
        paths |= {f"/vms/{vmid}" for vmid in pool["vms"]} | {f"/storage/{name}" for name in pool["storage"]}
    found = {path: access.permissions(user, path) for path in sorted(paths)}
    return {path: privileges for path, privileges in found.items() if privileges}


@answers("GET /access/domains")
def domains(cluster: Cluster, call: Call) -> list[Record]:
    """Realms."""
    return [
        {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
        {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
    ]


@answers("GET /access/domains/{realm}")
def domain(cluster: Cluster, call: Call) -> Record:
    """One realm."""
    known = {record["realm"]: record for record in domains(cluster, call)}
    if call.get("realm") not in known:
        raise ApiError(f"domain '{call.get('realm')}' does not exist")
    return {key: value for key, value in known[str(call.get("realm"))].items() if key != "realm"}


@answers("PUT /access/password")
def change_password(cluster: Cluster, call: Call) -> None:
    """Sets a password."""
    access, name = cluster.access, str(call.get("userid"))
    access.user(name)
    if call.user != "root@pam":
        if name == "root@pam":
            raise permission_error()
        if call.get("confirmation-password") is None:
            raise parameter_error({"confirmation-password": "password is required to modify user"})
        access.check_password(call.user, str(call.get("confirmation-password")))
        if name != call.user and name.endswith("@pam"):
            raise permission_error()
    _check_realm(name)
    with access.change("password change failed"):
        access.set_password(name, str(call.get("password")))


def _user(name: str, record: Record, cluster: Cluster) -> Record:
    shown = ("enable", "expire", "firstname", "lastname", "email", "comment", "keys")
    told = {key: record[key] for key in shown if record.get(key) is not None}
    groups = sorted(group for group, one in cluster.access.data["groups"].items() if name in one["users"])
    return {**told, "groups": groups, "tokens": {key: _token(one) for key, one in record["tokens"].items()} or None}


def _token(record: Record) -> Record:
    return {"expire": 0, **{key: value for key, value in record.items() if key != "secret" and value is not None}}


@answers("GET /access/users")
def users(cluster: Cluster, call: Call) -> list[Record]:
    """The users that the user may see."""
    access = cluster.access
    privileges = ["User.Modify", "Sys.Audit"]
    everybody = access.may(call.user, "/access/groups", privileges, any_of=True)
    seen = access.members(call.user, privileges) | {call.user}
    wanted = call.get("enabled")
    result = []
    for name, record in sorted(access.data["users"].items()):
        if not (everybody or name in seen) or wanted not in (None, str(record.get("enable", 1))):
            continue
        told = _user(name, record, cluster)
        tokens = [{"tokenid": key, **one} for key, one in (told.pop("tokens") or {}).items()]
        groups = told.pop("groups")
        full = {"tokens": tokens, "groups": ",".join(groups)} if call.flag("full") else {}
        result.append({**told, **full, "userid": name, "realm-type": name.rpartition("@")[2]})
    return result


@answers("GET /access/users/{userid}")
def read_user(cluster: Cluster, call: Call) -> Record:
    """One user."""
    name = str(call.get("userid"))
    return _user(name, cluster.access.user(name), cluster)


@answers("POST /access/users")
def create_user(cluster: Cluster, call: Call) -> None:
    """A new user."""
    name = user_name(str(call.get("userid")))
    with cluster.access.change("create user failed") as data:
        if name in data["users"]:
            raise ApiError(f"user '{name}' already exists")
        if call.get("password"):
            _check_realm(name)
        record = call.rest("userid", "groups", "password")
        data["users"][name] = {"enable": 1, "expire": 0, **record, "tokens": {}}
        _join(data, name, call.get("groups"))
        if call.get("password"):
            cluster.access.set_password(name, str(call.get("password")))


def _check_realm(name: str) -> None:
    realm = name.rpartition("@")[2]
    if realm not in ("pam", "pve"):
        raise ApiError(f"auth domain '{realm}' does not exist")


def _join(data: Record, name: str, groups: str | None) -> None:
    for group in split_list(groups):
        if group not in data["groups"]:
            raise ApiError(f"no such group '{group}'")
        users = data["groups"][group]["users"]
        data["groups"][group]["users"] = sorted({*users, name})


@answers("PUT /access/users/{userid}")
def update_user(cluster: Cluster, call: Call) -> None:
    """Changes a user."""
    name = str(call.get("userid"))
    with cluster.access.change("update user failed") as data:
        cluster.access.user(name).update(call.rest("userid", "groups", "append"))
        if not call.flag("append") and "groups" in call.parameters:
            for group in data["groups"].values():
                group["users"] = [user for user in group["users"] if user != name]
        _join(data, name, call.get("groups"))


@answers("DELETE /access/users/{userid}")
def delete_user(cluster: Cluster, call: Call) -> None:
    """Removes a user with tokens and rights."""
    name = str(call.get("userid"))
    with cluster.access.change("delete user failed") as data:
        cluster.access.user(name)
        del data["users"][name]
        data["acl"] = [entry for entry in data["acl"] if entry["ugid"].partition("!")[0] != name]
        for group in data["groups"].values():
            group["users"] = [user for user in group["users"] if user != name]


def _known_token(cluster: Cluster, call: Call) -> Record:
    user, token = str(call.get("userid")), str(call.get("tokenid"))
    tokens = cluster.access.user(user)["tokens"]
    if token not in tokens:
        raise ApiError(f"no such token '{token}' for user '{user}'")
    found: Record = tokens[token]
    return found


@answers("GET /access/users/{userid}/token")
def tokens(cluster: Cluster, call: Call) -> list[Record]:
    """Tokens of a user."""
    found = cluster.access.user(str(call.get("userid")))["tokens"]
    return [{"tokenid": key, **_token(record)} for key, record in found.items()]


@answers("GET /access/users/{userid}/token/{tokenid}")
def read_token(cluster: Cluster, call: Call) -> Record:
    """One token, without its secret."""
    return _token(_known_token(cluster, call))


@answers("POST /access/users/{userid}/token/{tokenid}")
def create_token(cluster: Cluster, call: Call) -> Record:
    """A new token, with its secret."""
    user, token = str(call.get("userid")), str(call.get("tokenid"))
    if token in cluster.access.user(user)["tokens"]:
        raise parameter_error({"tokenid": "Token already exists."})
    record = {"privsep": "1", **call.rest("userid", "tokenid")}
    with cluster.access.change("generating token failed"):
        secret = cluster.access.add_token(user, token, record)
    return {"full-tokenid": f"{user}!{token}", "info": record, "value": secret}


@answers("PUT /access/users/{userid}/token/{tokenid}")
def update_token(cluster: Cluster, call: Call) -> Record:
    """Changes a token; answers a new secret when that is asked for."""
    user, token = str(call.get("userid")), str(call.get("tokenid"))
    _known_token(cluster, call)
    with cluster.access.change("updating token info failed"):
        record = _known_token(cluster, call)
        record.update(call.rest("userid", "tokenid", "regenerate", "delete"))
        for key in split_list(call.get("delete")):
            if key != "comment":
                raise parameter_error({"delete": f"unknown option '{key}'"})
            record.pop(key, None)
        if call.flag("regenerate"):
            secret = cluster.access.add_token(user, token, _token(record))
            return {**_token(record), "value": secret, "full-tokenid": f"{user}!{token}"}
    return _token(record)


@answers("DELETE /access/users/{userid}/token/{tokenid}")
def delete_token(cluster: Cluster, call: Call) -> None:
    """Removes a token."""
    _known_token(cluster, call)
    user, token = str(call.get("userid")), str(call.get("tokenid"))
    with cluster.access.change("deleting token failed") as data:
        del data["users"][user]["tokens"][token]
