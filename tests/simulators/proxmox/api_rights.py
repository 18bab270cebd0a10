"""Groups, roles and the access control list."""

from __future__ import annotations

import re
import typing as t

from .access import TOKEN, normal_path
from .calls import Call, answers
from .errors import ApiError, parameter_error
from .formats import split_list, user_name
from .privileges import ROLES

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
PATH = re.compile(
    r"/|/access(/groups(/[\w.\-]+)?|/realm(/[\w.\-]+)?)?|/nodes(/[\w.\-]+)?|/pool(/[\w.\-]+){0,3}"
    r"|/sdn(/zones(/[\w.\-]+){0,2}|/zones(/[\w.\-]+){2}/[1-9]\d{0,3}|/controllers(/[\w\-]+)?"
    r"|/(dns|fabrics|ipams|prefix-lists|route-maps)(/[a-zA-Z0-9]+)?)?"
    r"|/storage(/[\w.\-]+)?|/vms(/[1-9][0-9]{2,})?|/mapping(/[\w.\-]+){0,2}",
    re.ASCII,
)


@answers("GET /access/groups")
def groups(cluster: Cluster, call: Call) -> list[Record]:
    """Groups that the user may see."""
    privileges = ["User.Modify", "Sys.Audit", "Group.Allocate"]
    return [
        {"groupid": name, "users": ",".join(one["users"]), **_comment(one)}
        for name, one in sorted(cluster.access.data["groups"].items())
        if cluster.access.may(call.user, f"/access/groups/{name}", privileges, any_of=True)
    ]


def _comment(record: Record) -> Record:
    return {"comment": record["comment"]} if record.get("comment") is not None else {}


def _group(data: Record, name: str) -> Record:
    if name not in data["groups"]:
        raise ApiError(f"group '{name}' does not exist")
    group: Record = data["groups"][name]
    return group


@answers("GET /access/groups/{groupid}")
def read_group(cluster: Cluster, call: Call) -> Record:
    """One group."""
    group = _group(cluster.access.data, str(call.get("groupid")))
    return {"members": group["users"], **_comment(group)}


@answers("PUT /access/groups/{groupid}")
def update_group(cluster: Cluster, call: Call) -> None:
    """Changes a group."""
    with cluster.access.change("update group failed") as data:
        group = _group(data, str(call.get("groupid")))
        if call.get("comment") is not None:
            group["comment"] = call.get("comment")


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
        _group(data, name)
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
    if name.lower().startswith("pve"):
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
        data["acl"] = [entry for entry in data["acl"] if entry["roleid"] != name]


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
    path = normal_path(str(call.get("path")))
    if path is None or not (call.flag("delete") or PATH.fullmatch(path)):
        raise parameter_error({"path": f"invalid ACL path '{call.get('path')}'"})
    mine = cluster.access.permissions(call.user, path)
    with cluster.access.change("ACL update failed") as data:
        for role in split_list(call.get("roles")):
            if role not in cluster.access.roles():
                raise ApiError(f"role '{role}' does not exist")
            _check_grant(cluster, call, mine, role)
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


def _check_grant(cluster: Cluster, call: Call, mine: dict[str, int], role: str) -> None:
    """Who may not change all rights gives only what he has, and only as far down as he has it."""
    if "Permissions.Modify" in mine:
        return
    verb = "remove" if call.flag("delete") else "add"
    propagate = call.flag("propagate", True) and not call.flag("delete")
    for privilege in sorted(cluster.access.roles()[role]):
        wanted = "propagated superset" if privilege in mine else "superset"
        if privilege not in mine or (propagate and not mine[privilege]):
            how = f"'{role}' with propagation" if privilege in mine else f"'{role}'"
            told = f"Cannot {verb} role {how} - requires 'Permissions.Modify' or {wanted} of privileges."
            raise parameter_error({"role": told})
    if role == "NoAccess":
        raise parameter_error({"role": f"Cannot {verb} role '{role}' - requires 'Permissions.Modify'"})
