"""Users, groups, roles, tokens, access control lists, tickets."""

from __future__ import annotations

import re
import typing as t

from .access import TOKEN
from .calls import Call, answers
from .errors import ApiError, parameter_error
from .formats import split_list, user_name
from .privileges import ROLES

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
PATH = re.compile(
    r"/|/access(/groups(/[\w.\-]+)?|/realm(/[\w.\-]+)?)?|/nodes(/[\w.\-]+)?|/pool(/[\w.\-]+){0,3}"
    r"|/sdn(/zones(/[\w.\-]+){0,3}|/(controllers|dns|fabrics|ipams|prefix-lists|route-maps)(/[\w\-]+)?)?"
    r"|/storage(/[\w.\-]+)?|/vms(/[1-9][0-9]{2,})?|/mapping(/[\w.\-]+){0,2}",
    re.ASCII,
)


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
    return [{"realm": "pam", "type": "pam", "comment": "Linux PAM"}, {"realm": "pve", "type": "pve", "default": 1}]


@answers("PUT /access/password")
def change_password(cluster: Cluster, call: Call) -> None:
    """Sets a password."""
    with cluster.access.change("password change failed"):
        cluster.access.user(str(call.get("userid")))
        cluster.access.set_password(str(call.get("userid")), str(call.get("password")))


def _user(name: str, record: Record, cluster: Cluster) -> Record:
    shown = ("enable", "expire", "firstname", "lastname", "email", "comment", "keys")
    told = {key: record[key] for key in shown if record.get(key) is not None}
    groups = sorted(group for group, one in cluster.access.data["groups"].items() if name in one["users"])
    return {**told, "groups": groups, "tokens": {key: _token(one) for key, one in record["tokens"].items()}}


def _token(record: Record) -> Record:
    return {key: value for key, value in record.items() if key != "secret" and value is not None}


@answers("GET /access/users")
def users(cluster: Cluster, call: Call) -> list[Record]:
    """The users that the user may see."""
    access = cluster.access
    everybody = access.may(call.user, "/access/groups", ["User.Modify", "Sys.Audit"], any_of=True)
    result = []
    for name, record in sorted(access.data["users"].items()):
        if not everybody and name != call.user:
            continue
        told = _user(name, record, cluster)
        tokens = [{"tokenid": key, **one} for key, one in told.pop("tokens").items()]
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
        record = call.rest("userid", "groups", "password")
        data["users"][name] = {"enable": 1, "expire": 0, **record, "tokens": {}}
        _join(data, name, call.get("groups"))
        if call.get("password"):
            cluster.access.set_password(name, str(call.get("password")))


def _join(data: Record, name: str, groups: str | None) -> None:
    for group in split_list(groups):
        if group not in data["groups"]:
            raise ApiError(f"no such group '{group}'")
        data["groups"][group]["users"].append(name)


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
    record = _known_token(cluster, call)
    with cluster.access.change("updating token info failed"):
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


@answers("GET /access/groups")
def groups(cluster: Cluster, call: Call) -> list[Record]:
    """Groups."""
    found = sorted(cluster.access.data["groups"].items())
    return [{"groupid": name, "users": ",".join(one["users"])} for name, one in found]


@answers("POST /access/groups")
def create_group(cluster: Cluster, call: Call) -> None:
    """A new group."""
    name = str(call.get("groupid"))
    with cluster.access.change("create group failed") as data:
        if name in data["groups"]:
            raise ApiError(f"group '{name}' already exists")
        data["groups"][name] = {"users": [], "comment": call.get("comment")}


@answers("DELETE /access/groups/{groupid}")
def delete_group(cluster: Cluster, call: Call) -> None:
    """Removes a group."""
    name = str(call.get("groupid"))
    with cluster.access.change("delete group failed") as data:
        if name not in data["groups"]:
            raise ApiError(f"group '{name}' does not exist")
        del data["groups"][name]
        data["acl"] = [entry for entry in data["acl"] if (entry["type"], entry["ugid"]) != ("group", name)]


@answers("GET /access/roles")
def roles(cluster: Cluster, call: Call) -> list[Record]:
    """Roles with their privileges."""
    found = sorted(cluster.access.roles().items())
    return [{"roleid": name, "privs": ",".join(sorted(has)), "special": int(name in ROLES)} for name, has in found]


@answers("GET /access/roles/{roleid}")
def read_role(cluster: Cluster, call: Call) -> Record:
    """Privileges of a role."""
    name = str(call.get("roleid"))
    if name not in cluster.access.roles():
        raise ApiError(f"role '{name}' does not exist")
    return dict.fromkeys(sorted(cluster.access.roles()[name]), 1)


@answers("POST /access/roles")
def create_role(cluster: Cluster, call: Call) -> None:
    """A new role."""
    name = str(call.get("roleid"))
    if name.startswith("PVE"):
        told = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"
        raise parameter_error({"roleid": told})
    with cluster.access.change("create role failed") as data:
        if name in cluster.access.roles():
            raise ApiError(f"role '{name}' already exists")
        data["roles"][name] = split_list(call.get("privs"))


@answers("PUT /access/roles/{roleid}")
def update_role(cluster: Cluster, call: Call) -> None:
    """Changes the privileges of a role."""
    name = str(call.get("roleid"))
    if name in ROLES:
        raise ApiError(f"auto-generated role '{name}' cannot be modified")
    with cluster.access.change("update role failed") as data:
        if name not in data["roles"]:
            raise ApiError(f"role '{name}' does not exist")
        kept = data["roles"][name] if call.flag("append") else []
        data["roles"][name] = sorted({*kept, *split_list(call.get("privs"))})


@answers("DELETE /access/roles/{roleid}")
def delete_role(cluster: Cluster, call: Call) -> None:
    """Removes a role."""
    name = str(call.get("roleid"))
    if name in ROLES:
        raise ApiError(f"auto-generated role '{name}' cannot be deleted")
    with cluster.access.change("delete role failed") as data:
        if name not in data["roles"]:
            raise ApiError(f"role '{name}' does not exist")
        del data["roles"][name]


@answers("GET /access/acl")
def acl(cluster: Cluster, call: Call) -> list[Record]:
    """The access control list, as far as the user may see it."""
    everything = cluster.access.may(call.user, "/access", ["Sys.Audit"])
    entries = cluster.access.data["acl"]
    return [entry for entry in entries if everything or cluster.access.may_modify(call.user, entry["path"])]


@answers("PUT /access/acl")
def update_acl(cluster: Cluster, call: Call) -> None:
    """Gives or takes roles on a path."""
    kinds = {"users": "user", "groups": "group", "tokens": "token"}
    if not any(call.get(kind) for kind in kinds):
        raise parameter_error(dict.fromkeys(kinds, "either 'users', 'groups' or 'tokens' is required."))
    path = "/" + "/".join(part for part in str(call.get("path")).split("/") if part)
    if not str(call.get("path")).startswith("/") or not (call.flag("delete") or PATH.fullmatch(path)):
        raise parameter_error({"path": f"invalid ACL path '{call.get('path')}'"})
    with cluster.access.change("ACL update failed") as data:
        for role in split_list(call.get("roles")):
            if role not in cluster.access.roles():
                raise ApiError(f"role '{role}' does not exist")
            _check_grant(cluster, call, path, role)
            for parameter, kind in kinds.items():
                for name in split_list(call.get(parameter)):
                    _check_grantee(cluster, kind, name)
                    entry = {"path": path, "type": kind, "ugid": name, "roleid": role}
                    data["acl"] = [one for one in data["acl"] if {**one, "propagate": 0} != {**entry, "propagate": 0}]
                    if not call.flag("delete"):
                        data["acl"].append({**entry, "propagate": int(call.flag("propagate", True))})


def _check_grantee(cluster: Cluster, kind: str, name: str) -> None:
    data = cluster.access.data
    if kind == "group" and name not in data["groups"]:
        raise ApiError(f"group '{name}' does not exist")
    if kind == "user" and user_name(name) not in data["users"]:
        raise ApiError(f"user '{name}' does not exist")
    if kind == "token":
        match = TOKEN.fullmatch(name)
        if match is None:
            raise ApiError(f"'{name}' is not a valid token ID - not able to split into user and token parts")
        if match[2] not in cluster.access.user(match[1])["tokens"]:
            raise ApiError(f"no such token '{match[2]}' for user '{match[1]}'")


def _check_grant(cluster: Cluster, call: Call, path: str, role: str) -> None:
    """Who may not change all rights gives only what he has."""
    mine = cluster.access.permissions(call.user, path)
    if "Permissions.Modify" not in mine and not set(cluster.access.roles()[role]) <= set(mine):
        verb = "remove" if call.flag("delete") else "add"
        told = f"Cannot {verb} role '{role}' - requires 'Permissions.Modify' or superset of privileges."
        raise parameter_error({"role": told})
