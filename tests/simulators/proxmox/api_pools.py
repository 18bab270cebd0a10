"""Pools of VMs and storages."""

from __future__ import annotations

import typing as t

from .calls import Call, answers
from .errors import ApiError
from .formats import split_list
from .resources import resources

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]


@answers("GET /pools")
def pools(cluster: Cluster, call: Call) -> list[Record]:
    """Pools, or one with its members."""
    all_pools = cluster.access.data["pools"]
    wanted = call.get("poolid")
    if wanted is None:
        seen = [name for name in sorted(all_pools) if cluster.access.may(call.user, f"/pool/{name}", ["Pool.Audit"])]
        return [_pool(name, all_pools[name]) for name in seen]
    if wanted not in all_pools:
        raise ApiError(f"pool '{wanted}' does not exist")
    node = cluster.options.nodes[0]
    vms = [f"qemu/{vmid}" for vmid in sorted(all_pools[wanted]["vms"])]
    storages = [f"storage/{node}/{name}" for name in sorted(all_pools[wanted]["storage"])]
    known = {one["id"]: one for one in resources(cluster, Call("root@pam", {}))}
    members = [known[name] for name in (*vms, *storages) if name in known]
    members = [
        {key: value for key, value in one.items() if key not in ("pool", "tags", "hastate")}
        for one in members
        if call.get("type") in (None, one["type"])
    ]
    return [{**_pool(wanted, all_pools[wanted]), "members": members}]


def _pool(name: str, pool: Record) -> Record:
    return {"poolid": name, **({"comment": pool["comment"]} if pool.get("comment") else {})}


@answers("GET /pools/{poolid}")
def pool(cluster: Cluster, call: Call) -> Record:
    """One pool with its members."""
    return pools(cluster, call)[0]


@answers("POST /pools")
def add_pool(cluster: Cluster, call: Call) -> None:
    """A pool."""
    name = str(call.get("poolid"))
    with cluster.access.change("create pool failed") as data:
        if name in data["pools"]:
            raise ApiError(f"pool '{name}' already exists")
        parent, slash, leaf = name.rpartition("/")
        if slash and parent not in data["pools"]:
            raise ApiError(f"parent '{parent}' of pool '{name}' does not exist")
        if not leaf[:1].isalpha():
            raise ApiError("pool name must start with a letter")
        data["pools"][name] = {"vms": [], "storage": [], "comment": call.get("comment")}


@answers("PUT /pools", "PUT /pools/{poolid}")
def change_pool(cluster: Cluster, call: Call) -> None:
    """Comment and members of a pool; a VM is in one pool, a storage may be in several."""
    name = str(call.get("poolid"))
    with cluster.access.change("update pools failed") as data:
        if name not in data["pools"]:
            raise ApiError(f"pool '{name}' does not exist")
        mine = data["pools"][name]
        if call.get("comment") is not None:
            mine["comment"] = call.get("comment")
        for vmid in split_list(call.get("vms")):
            cluster.access.check_modify(call.user, f"/vms/{vmid}")
            others = {member: pool for pool, one in data["pools"].items() for member in one["vms"]}
            if _is_new(call, mine["vms"], vmid, f"VM {vmid}") and vmid in others:
                _leave(cluster, call, vmid, others[vmid])
            _enter(call, mine["vms"], vmid)
        for storage in split_list(call.get("storage")):
            cluster.access.check_modify(call.user, f"/storage/{storage}")
            _is_new(call, mine["storage"], storage, f"Storage '{storage}'")
            _enter(call, mine["storage"], storage)


def _is_new(call: Call, members: list[str], member: str, told: str) -> bool:
    """The member is added; dies when that, or its removal, is not possible."""
    if call.flag("delete") and member not in members:
        raise ApiError(f"{told} is not a pool member")
    if not call.flag("delete") and member in members:
        raise ApiError(f"{told} is already a pool member")
    return not call.flag("delete")


def _enter(call: Call, members: list[str], member: str) -> None:
    (members.remove if call.flag("delete") else members.append)(member)


def _leave(cluster: Cluster, call: Call, vmid: str, pool: str) -> None:
    if not call.flag("allow-move"):
        raise ApiError(f"VM {vmid} belongs already to pool '{pool}' and 'allow-move' is not set")
    cluster.access.check(call.user, f"/pool/{pool}", ["Pool.Allocate"])
    cluster.access.data["pools"][pool]["vms"].remove(vmid)


@answers("DELETE /pools", "DELETE /pools/{poolid}")
def remove_pool(cluster: Cluster, call: Call) -> None:
    """Removes an empty pool with its rights."""
    name = str(call.get("poolid"))
    with cluster.access.change("delete pool failed") as data:
        if name not in data["pools"]:
            raise ApiError(f"pool '{name}' does not exist")
        contained = [f"pool '{one}'" for one in sorted(data["pools"]) if one.rpartition("/")[0] == name]
        found, storages = cluster.files.find(), cluster.volumes.all()
        contained += [f"VM {vmid}" for vmid in sorted(data["pools"][name]["vms"]) if int(vmid) in found]
        contained += [f"storage '{one}'" for one in sorted(data["pools"][name]["storage"]) if one in storages]
        if contained:
            raise ApiError(f"pool '{name}' is not empty (contains {contained[0]})")
        del data["pools"][name]
        data["acl"] = [entry for entry in data["acl"] if entry["path"] != f"/pool/{name}"]
