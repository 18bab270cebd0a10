"""Configuration of storages: which there are, and what they may hold."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from .calls import Call, answers
from .errors import MODIFIED, ApiError
from .formats import split_list
from .options import LOCAL
from .schema import parse_boolean
from .storages import FILE_TYPES, SUBDIRECTORIES

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
MAY_SEE = ["Datastore.Audit", "Datastore.AllocateSpace"]
_ALL = "nodes disable content bwlimit"
_FILES = f"{_ALL} prune-backups max-protected-backups format mkdir create-base-path create-subdirs preallocation"
#: Type → what has to be set, and stays; what may be set.
OPTIONS = {
    "dir": ("path", f"{_FILES} content-dirs shared is_mountpoint snapshot-as-volume-chain"),
    "btrfs": ("path", f"{_FILES} shared is_mountpoint nocow"),
    "nfs": ("path server export", f"{_FILES} content-dirs options snapshot-as-volume-chain"),
    "cifs": (
        "path server share",
        f"{_FILES} content-dirs subdir username password domain smbversion options snapshot-as-volume-chain",
    ),
    "cephfs": ("path", f"{_FILES} content-dirs monhost subdir options username fuse keyring fs-name"),
    "rbd": ("", f"{_ALL} monhost pool data-pool namespace username krbd keyring"),
    "lvm": (
        "vgname",
        f"{_ALL} shared saferemove saferemove-stepsize saferemove_throughput base tagged_only snapshot-as-volume-chain",
    ),
    "lvmthin": ("thinpool vgname", _ALL),
    "zfspool": ("pool", f"{_ALL} blocksize sparse mountpoint"),
}
#: What may be set, but not changed.
FIXED = ("snapshot-as-volume-chain", "base")
SHARED = ("rbd", "nfs", "cifs", "cephfs")
#: Directories that every node has.
DIRECTORIES = ("/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/lib", "/var/lib/vz", "/var/tmp")


def _contents(kind: str) -> set[str]:
    if kind not in FILE_TYPES:
        return {"images", "rootdir"}
    return {*SUBDIRECTORIES, "none"} - ({"images", "rootdir", "none"} if kind == "cephfs" else set())


def _content(kind: str, text: str) -> str:
    """Kinds of content without those that the type of storage cannot have."""
    known = _contents(kind)
    kept = [one for one in split_list(text) if one in known]
    if "none" in kept and len(kept) > 1:
        raise ApiError("unable to combine 'none' with other content types")
    if not kept and "none" not in known:
        raise ApiError("storage does not support content type 'none'")
    return ",".join(kept) or "none"


def _check(kind: str, given: Record) -> Record:
    """Options as they are written; dies of those that the type of storage does not have."""
    if kind not in OPTIONS:
        raise ApiError(f"storages of type '{kind}' are not implemented in the simulator")
    fixed, optional = (words.split() for words in OPTIONS[kind])
    for key, value in given.items():
        if key not in (*fixed, *optional):
            raise ApiError(f"unexpected property '{key}'")
        if value is None:
            raise ApiError(f"got undefined value for option '{key}'")
    return {**given, **({"content": _content(kind, given["content"])} if "content" in given else {})}


def _digest(cluster: Cluster) -> str:
    return hashlib.sha1(json.dumps(cluster.volumes.all(), sort_keys=True).encode()).hexdigest()


def _shown(cluster: Cluster, name: str, config: Record) -> Record:
    return {"storage": name, "digest": _digest(cluster), **config}


@answers("GET /storage")
def configurations(cluster: Cluster, call: Call) -> list[Record]:
    """Configurations of the storages that the user may see."""
    found = [
        _shown(cluster, name, config)
        for name, config in cluster.volumes.all().items()
        if cluster.access.may(call.user, f"/storage/{name}", MAY_SEE, any_of=True)
    ]
    return [one for one in found if call.get("type") in (None, one["type"])]


@answers("GET /storage/{storage}")
def configuration(cluster: Cluster, call: Call) -> Record:
    """Configuration of a storage."""
    name = str(call.get("storage"))
    return _shown(cluster, name, cluster.volumes.storage(cluster.options.nodes[0], name).config)


def _check_directory(name: str, config: Record, known: t.Iterable[str]) -> None:
    """Dies when the directory is not there, and is not to be made."""
    path, mounted = config["path"], parse_boolean(str(config.get("is_mountpoint", "no")))
    if mounted != "0":
        told = f"directory is expected to be a mount point but is not mounted: '{path if mounted == '1' else mounted}'"
        raise ApiError(f"unable to activate storage '{name}' - {told}")
    made = config.get("create-base-path", config.get("mkdir", "1"))
    if str(made) == "0" and path not in (*DIRECTORIES, *known):
        raise ApiError(f"unable to activate storage '{name}' - directory '{path}' does not exist or is unreachable")


@answers("POST /storage")
def create(cluster: Cluster, call: Call) -> Record:
    """A new storage."""
    name, kind = str(call.get("storage")), str(call.get("type"))
    given = call.rest("storage", "type")
    if given.get("nodes") is None:
        given.pop("nodes", None)
    config = {"type": kind, **_check(kind, given)}
    if kind in ("nfs", "cifs", "cephfs"):
        config.setdefault("path", f"/mnt/pve/{name}")
    for key in OPTIONS[kind][0].split():
        if key not in config:
            raise ApiError(f"missing value for required option '{key}'")
    if kind == "dir" and not re.fullmatch(r"/[-/a-zA-Z0-9_.@]+", config["path"]):
        raise ApiError(f"illegal path for directory storage: {config['path']}")
    storages = cluster.volumes.all()
    if name in storages:
        raise ApiError(f"create storage failed: storage ID '{name}' already defined")
    if kind == "dir":
        config["path"] = config["path"].rstrip("/") or "/"
        try:
            _check_directory(name, config, [one["path"] for one in storages.values() if "path" in one])
        except ApiError as error:
            raise ApiError(f"create storage failed: {error}") from None
    config.setdefault("content", "images,rootdir" if kind in ("dir", "btrfs", "lvmthin", "zfspool") else "images")
    if kind in SHARED:
        config["shared"] = 1
    cluster.volumes.write({**storages, name: config})
    return {"storage": name, "type": kind}


@answers("PUT /storage/{storage}")
def update(cluster: Cluster, call: Call) -> Record:
    """Changes a storage."""
    name = str(call.get("storage"))
    storages = cluster.volumes.all()
    try:
        if call.get("digest") and call.get("digest") != _digest(cluster):
            raise ApiError(MODIFIED)
        config = cluster.volumes.storage(cluster.options.nodes[0], name).config
        _change(config, call.rest("storage", "digest", "delete"), split_list(call.get("delete")))
    except ApiError as error:
        raise ApiError(f"update storage failed: {error}") from None
    if name == "local":  # every node has it
        config.pop("nodes", None)
    cluster.volumes.write({**storages, name: config})
    return {"storage": name, "type": config["type"]}


def _change(config: Record, given: Record, removed: list[str]) -> None:
    kind = config["type"]
    required, optional = (words.split() for words in OPTIONS.get(kind, ("", "")))
    for key in given:
        if key in (*required, *FIXED):
            raise ApiError(f"can't change value of fixed parameter '{key}'")
    given = _check(kind, given)
    for key in removed:
        if key not in (*required, *optional):
            raise ApiError(f"no such option '{key}'")
        if key in required:
            raise ApiError(f"unable to delete required option '{key}'")
        if key in FIXED:
            raise ApiError(f"unable to delete fixed option '{key}'")
        if key in given:
            raise ApiError(f"cannot set and delete property '{key}' at the same time!")
    for key in removed:
        config.pop(key, None)
    config.update(given)


@answers("DELETE /storage/{storage}")
def delete(cluster: Cluster, call: Call) -> None:
    """Forgets a storage with the rights on it; its files stay, and so does ``local``."""
    name = str(call.get("storage"))
    storages = cluster.volumes.all()
    if name not in storages:
        raise ApiError(f"delete storage failed: storage '{name}' does not exist")
    del storages[name]
    cluster.volumes.write({**storages, **({"local": dict(LOCAL)} if name == "local" else {})})
    with cluster.access.change(f"access permissions cleanup for storage {name} failed") as data:
        data["acl"] = [entry for entry in data["acl"] if entry["path"] != f"/storage/{name}"]
        for pool in data["pools"].values():
            pool["storage"] = [one for one in pool["storage"] if one != name]
