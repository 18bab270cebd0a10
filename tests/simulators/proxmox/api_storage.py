"""Storages of a node: status, content, uploads and downloads."""

from __future__ import annotations

import hashlib
import re
import shutil
import ssl
import typing as t
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from . import images
from .calls import Call, answers
from .errors import ApiError, parameter_error
from .formats import split_list
from .storage_config import MAY_SEE
from .storages import SUBDIRECTORIES, Storage
from .tasks import say

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
#: Kind of content → file names that may be uploaded.
UPLOADS = {
    "iso": r"[^/]+\.(?i:iso|img)",
    "vztmpl": r"[^/]+\.(?i:tar|tar\.(?:gz|xz|zst|bz2))",
    "import": r"[a-zA-Z0-9\-.+=_]+\.(ova|qcow2|raw|vmdk)",
}


def _status(cluster: Cluster, node: str, name: str) -> Record:
    storage = cluster.volumes.storage(node, name)
    enabled = cluster.volumes.is_enabled(node, name)
    disk = shutil.disk_usage(cluster.state)
    sizes = {"total": disk.total, "avail": disk.free, "used": disk.used, "active": 1}
    told = {"type": storage.config["type"], "content": ",".join(sorted(storage.content)), "enabled": int(enabled)}
    empty = {"total": 0, "avail": 0, "used": 0, "active": 0}
    return {**told, "shared": int(storage.shared), **(sizes if enabled else empty)}


@answers("GET /nodes/{node}/storage")
def statuses(cluster: Cluster, call: Call) -> list[Record]:
    """The storages of a node that the user may see."""
    wanted, target = set(split_list(call.get("content"))), call.get("target")
    found = {name: _status(cluster, call.node, name) for name in sorted(cluster.volumes.all())}
    if call.get("content") is not None:
        found = {name: one for name, one in found.items() if one["enabled"] and wanted & set(one["content"].split(","))}
    if call.get("storage") and call.get("storage") not in found:
        raise parameter_error({"storage": "No such storage."})
    result = []
    for name, told in found.items():
        if not cluster.access.may(call.user, f"/storage/{name}", MAY_SEE, any_of=True):
            continue
        if call.get("storage") not in (None, name) or (
            call.flag("enabled") and cluster.volumes.all()[name].get("disable")
        ):
            continue
        if target not in (None, call.node) and not (told["shared"] and cluster.volumes.is_enabled(str(target), name)):
            continue
        if call.flag("format"):
            storage = cluster.volumes.storage(call.node, name)
            told["formats"] = {"supported": list(storage.formats), "default": storage.default_format}
        fraction = {"used_fraction": told["used"] / told["total"]} if told["total"] else {}
        result.append({"storage": name, **told, **fraction})
    return result


@answers("GET /nodes/{node}/storage/{storage}/status")
def status(cluster: Cluster, call: Call) -> Record:
    """A storage of a node."""
    if call.get("storage") not in cluster.volumes.all():
        raise parameter_error({"storage": "No such storage."})
    return _status(cluster, call.node, str(call.get("storage")))


@answers("GET /nodes/{node}/storage/{storage}/content")
def content(cluster: Cluster, call: Call) -> list[Record]:
    """Volumes that the user may use."""
    storage = cluster.volumes.enabled(call.node, str(call.get("storage")))
    wanted = [call.get("content")] if call.get("content") else list(SUBDIRECTORIES)
    entries: list[Record] = []
    for kind in wanted:
        if kind not in storage.content or kind == "rootdir":
            continue
        entries += _disks(storage, call.number("vmid")) if kind == "images" else _files(storage, str(kind), call)
    entries = [one for one in entries if cluster.volumes.readable(call.user, call.node, one["volid"])]
    return sorted(entries, key=lambda one: one["volid"].lower())


def _disks(storage: Storage, vmid: int | None) -> list[Record]:
    entries = []
    for name in storage.owned(vmid):
        info = storage.info(name)
        if info is not None:
            volume = storage.parse(name)
            sizes = {"size": info.size, "used": info.used, "parent": info.parent, "ctime": info.ctime}
            told = {"volid": f"{storage.name}:{name}", "format": volume.format, "vmid": volume.vmid}
            entries.append({**told, **sizes, "content": "images"})
    return entries


def _files(storage: Storage, kind: str, call: Call) -> list[Record]:
    if not storage.has_files or (call.get("vmid") and kind not in ("backup", "import")):
        return []
    entries = []
    for path in sorted((storage.root / SUBDIRECTORIES[kind]).glob("*")):
        try:
            volume, stat = storage.parse(f"{kind}/{path.name}"), path.stat()
        except (ApiError, FileNotFoundError):  # an upload was renamed meanwhile, or a volume removed
            continue
        image_format = {"iso": "iso", "snippets": "snippet"}.get(kind, volume.format)
        told = {"volid": f"{storage.name}:{kind}/{path.name}", "format": image_format, "content": kind}
        entries.append({**told, "size": stat.st_size, "ctime": int(stat.st_ctime)})
    return entries


@answers("POST /nodes/{node}/storage/{storage}/content")
def allocate(cluster: Cluster, call: Call) -> str:
    """An empty disk volume with a name of one's own."""
    match = re.fullmatch(r"(\d+)([MG]?)", str(call.get("size")))
    if match is None:
        raise parameter_error({"size": f"unable to parse size '{call.get('size')}'"})
    kilobytes = int(match[1]) * {"": 1, "M": 1024, "G": 1024 * 1024}[match[2]]
    name, image_format = str(call.get("filename")), call.get("format")
    extension = re.search(r"\.(raw|qcow2|vmdk)$", name)
    if extension:
        if image_format not in (None, extension[1]):
            raise parameter_error({"format": f"different storage formats ({image_format} != {extension[1]})"})
        image_format = extension[1]
    storage = str(call.get("storage"))
    return cluster.volumes.allocate(call.node, storage, call.vmid, image_format, kilobytes * 1024, name)


def _volume(call: Call) -> tuple[str, str]:
    """Volume and storage of a call."""
    volume, storage = str(call.get("volume")), call.get("storage")
    if ":" not in volume:
        if storage is None:
            raise parameter_error({"volume": "no storage specified - incomplete volume ID"})
        return f"{storage}:{volume}", storage
    found = volume.partition(":")[0]
    if storage not in (None, found):
        raise parameter_error({"volume": f"storage ID mismatch ({found} != {storage})\n"})
    return volume, found


@answers("GET /nodes/{node}/storage/{storage}/content/{volume}")
def volume_info(cluster: Cluster, call: Call) -> Record:
    """Size and path of a volume."""
    volid, dummy = _volume(call)
    cluster.volumes.check_access(call.user, call.node, None, volid)
    info = cluster.volumes.info(call.node, volid)
    if info is None:
        raise ApiError(f"volume_size_info on '{volid}' failed - no format")
    if not info.size:
        raise ApiError(f"volume '{volid}' has size zero")
    path = cluster.volumes.path(call.node, volid)
    return {"path": path, "size": info.size, "used": info.used, "format": info.format}


@answers("PUT /nodes/{node}/storage/{storage}/content/{volume}")
def annotate(cluster: Cluster, call: Call) -> None:
    """Notes and protection, which only backups have; there are none."""
    volid, dummy = _volume(call)
    cluster.volumes.check_access(call.user, call.node, None, volid)
    if cluster.volumes.parse(call.node, volid).kind == "backup":
        raise ApiError("backups are not implemented in the simulator")
    if "notes" in call.parameters:
        raise ApiError("only backups can have notes")
    if "protected" in call.parameters:
        raise ApiError("only backups support attribute 'protected'")


@answers("DELETE /nodes/{node}/storage/{storage}/content/{volume}")
def remove(cluster: Cluster, call: Call) -> str | None:
    """Removes a volume, whoever uses it."""
    volid, storage = _volume(call)
    volume = cluster.volumes.parse(call.node, volid)
    if volume.kind == "backup" and volume.vmid:
        cluster.access.check(call.user, f"/storage/{storage}", ["Datastore.AllocateSpace"])
        cluster.access.check(call.user, f"/vms/{volume.vmid}", ["VM.Backup"])
    else:
        cluster.access.check(call.user, f"/storage/{storage}", ["Datastore.Allocate"])

    def work() -> None:
        cluster.volumes.free(call.node, volid)
        say(f"Removed volume '{volid}'")

    owner = f"{volume.vmid}@" if volume.vmid is not None else ""
    upid = cluster.fork(call, "imgdel", owner + storage, work)
    delay = call.number("delay")
    if delay:
        task = cluster.tasks.get(upid)
        task.ended.wait(delay * cluster.clock.pace)
        if task.status == "OK":
            return None
        if task.status is not None:
            raise ApiError(task.status)
    return upid


def _target(cluster: Cluster, call: Call, *, download: bool) -> tuple[Storage, Path, str | None]:
    """Storage, file and image format of what is sent."""
    storage = cluster.volumes.enabled(call.node, str(call.get("storage")))
    kind = str(call.get("content"))
    what = ", not a file based storage" if download else ""
    if not storage.has_files:
        raise ApiError(f"can't upload to storage type '{storage.config['type']}'{what}{'!' if download else ''}")
    if download and kind not in storage.content:
        raise ApiError(f"storage '{storage.name}' is not configured for content-type '{kind}'")
    name = re.sub(r"[^a-zA-Z0-9_.-]", "_", re.sub(r"^.*[/\\]", "", str(call.get("filename"))))
    match = re.fullmatch(UPLOADS[kind], name)
    if match is None:
        told = "invalid filename or wrong extension" if kind == "import" else "wrong file extension"
        raise parameter_error({"filename": told})
    if kind not in storage.content:
        raise ApiError(f"storage '{storage.name}' does not support '{kind}' content")
    image_format = match[1] if kind == "import" and match[1] != "ova" else None
    return storage, storage.root / SUBDIRECTORIES[kind] / name, image_format


@answers("POST /nodes/{node}/storage/{storage}/upload")
def upload(cluster: Cluster, call: Call) -> str:
    """Takes a file that the server has received; checks and copies it in a task."""
    received = Path(str(call.get("tmpfilename")))
    storage, target, image_format = _target(cluster, call, download=False)
    cluster.check_node(call.node)
    temporary = cluster.state / "tmp" / received.name
    told = f"{storage.config['path']}/{target.relative_to(storage.root)}"
    algorithm, checksum = call.get("checksum-algorithm"), call.get("checksum") or ""

    def work() -> None:
        say(f"starting file import from: {received}")
        try:
            if algorithm:
                _compare(temporary, algorithm, checksum)
            if image_format or call.get("content") == "iso":
                names = {str(temporary): str(received)}
                images.info(temporary, image_format, names, untrusted=True)
            say(f"target node: {call.node}\ntarget file: {told}\nfile size is: {temporary.stat().st_size}")
            say(f"command: cp -- {received} {told}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        say("finished file import successfully")

    return cluster.fork(call, "imgcopy", None, work)


def _compare(path: Path, algorithm: str, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found.lower() != expected.lower():
        say("calculating checksum...")
        raise ApiError(f"checksum mismatch: got '{found}' != expect '{expected}'")
    say("calculating checksum...OK, checksum verified")


@answers("POST /nodes/{node}/storage/{storage}/download-url")
def download(cluster: Cluster, call: Call) -> str:
    """Fetches a file from a URL in a task."""
    storage, target, image_format = _target(cluster, call, download=True)
    url = str(call.get("url"))
    told = f"{storage.config['path']}/{target.relative_to(storage.root)}"

    def work() -> None:
        if call.get("compression") and call.get("content") != "iso":
            raise ApiError(f"decompression not supported for {call.get('content')}")
        say(f"downloading {url} to {told}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and _is_there(target, told, call):
            return
        temporary = target.with_name(f"{target.name}.tmp_dwnl")
        try:
            _fetch(url, temporary, verify=call.flag("verify-certificates", True))
            if call.get("checksum-algorithm"):
                _compare(temporary, str(call.get("checksum-algorithm")), call.get("checksum") or "")
            if image_format:
                _verify(temporary, image_format, storage)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        say(f"download of '{url}' to '{told}' finished")

    return cluster.fork(call, "download", target.name, work)


def _is_there(target: Path, told: str, call: Call) -> bool:
    """The file was fetched before; dies where it is another one."""
    algorithm, expected = call.get("checksum-algorithm"), call.get("checksum") or ""
    if not algorithm:
        raise ApiError(f"refusing to override existing file '{told}'")
    with target.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found.lower() != expected.lower():
        raise ApiError(f"checksum mismatch: got '{found}' != expect '{expected}', aborting")
    say("calculating checksum of existing file...OK, got correct file already, no need to download")
    return True


def _verify(path: Path, image_format: str, storage: Storage) -> None:
    try:
        images.info(path, image_format, storage.names, untrusted=True)
    except ApiError as error:
        raise ApiError(f"failed to verify file: {error}") from None


def _fetch(url: str, target: Path, *, verify: bool) -> None:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        with opener.open(url, timeout=30) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        raise ApiError(f"download failed: ERROR {error.code}: {error.reason}.") from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or reason
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port or {'http': 80, 'https': 443}[parts.scheme]}"
        raise ApiError(f"download failed: Connecting to {host}... failed: {words}.") from None
