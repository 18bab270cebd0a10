"""Volumes of all storages: allocation, copies, clones, snapshots; who may use them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from . import images
from .drives import storage_of
from .errors import ApiError
from .images import ImageInfo
from .locks import Locks
from .storages import FILE_TYPES, KINDS, BlockStorage, FileStorage, Storage, Volume
from .tasks import say

if t.TYPE_CHECKING:
    from .access import Access

#: Perl adds its place to a message without a line feed.
ONLY_ROOT = "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651."


class Volumes:
    """The storages of the cluster and the volumes on them."""

    def __init__(self, state: Path, storages: dict[str, dict[str, t.Any]], locks: Locks, access: Access) -> None:
        self._state, self._locks, self._access = state, locks, access
        self._path = state / "etc" / "storage.json"
        self._known: tuple[tuple[int, ...], str] = (), ""
        #: Called before so many bytes of a volume are copied, with the limit in KiB/s (0: none).
        self.copying: t.Callable[[int, float], object] = lambda size, limit: None
        #: Called when a volume of so many bytes is made on a storage of files.
        self.making: t.Callable[[int], object] = lambda size: None
        if not self._path.exists():
            self.write(storages)

    def all(self) -> dict[str, dict[str, t.Any]]:
        """Storage → configuration."""
        stat = self._path.stat()
        stamp = stat.st_mtime_ns, stat.st_size, stat.st_ino
        if self._known[0] != stamp:
            self._known = stamp, self._path.read_text()
        result: dict[str, dict[str, t.Any]] = json.loads(self._known[1])
        return result

    def write(self, storages: dict[str, dict[str, t.Any]]) -> None:
        """Replaces the configuration of all storages."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(storages, indent=1))
        temporary.replace(self._path)

    def storage(self, node: str, name: str) -> Storage:
        """A storage as a node sees it; dies where there is none of this name."""
        config = self.all().get(name)
        if config is None:
            raise ApiError(f"storage '{name}' does not exist")
        place = "shared" if int(config.get("shared", 0)) else node
        kind = KINDS.get(config["type"], FileStorage if config["type"] in FILE_TYPES else BlockStorage)
        return kind(name, config, self._state / "volumes" / place / name)

    def enabled(self, node: str, name: str) -> Storage:
        """A storage that is enabled on the node; dies where it is not."""
        storage = self.storage(node, name)
        if int(storage.config.get("disable", 0)):
            raise ApiError(f"storage '{name}' is disabled")
        nodes = storage.config.get("nodes")
        if nodes and node not in nodes.split(","):
            raise ApiError(f"storage '{name}' is not available on node '{node}'")
        return storage

    def is_enabled(self, node: str, name: str) -> bool:
        """The storage exists and is enabled on the node."""
        try:
            self.enabled(node, name)
        except ApiError:
            return False
        return True

    def find(self, node: str, volid: str) -> tuple[Storage, str]:
        """The storage of a volume, and the volume's name there."""
        parts = storage_of(volid)
        if parts is None:
            raise ApiError(f"unable to parse volume ID '{volid}'")
        return self.storage(node, parts[0]), parts[1]

    def parse(self, node: str, volid: str) -> Volume:
        """The parts of a volume's name."""
        storage, name = self.find(node, volid)
        return storage.parse(name)

    def info(self, node: str, volid: str) -> ImageInfo | None:
        """Size and format; ``None`` where the volume does not exist."""
        storage, name = self.find(node, volid)
        return storage.info(name)

    def path(self, node: str, volid: str) -> str:
        """The path of a volume, as the node tells it."""
        storage, name = self.find(node, volid)
        return storage.told_path(name)

    def activate(self, node: str, volid: str) -> None:
        """Dies when the volume does not exist."""
        storage, name = self.find(node, volid)
        self.enabled(node, storage.name)
        if not storage.exists(name):
            raise ApiError(f"volume '{volid}' does not exist")

    def is_owner(self, node: str, vmid: int, volid: str) -> bool:
        """The volume belongs to the VM, by its name."""
        try:
            return self.parse(node, volid).vmid == vmid
        except ApiError:
            return False

    def feature(self, node: str, feature: str, volid: str, snapshot: str | None = None) -> bool:
        """The storage can do something with the volume."""
        if storage_of(volid) is None:
            return False
        storage, name = self.find(node, volid)
        return storage.feature(feature, name, snapshot)

    def default_format(self, node: str, name: str) -> str:
        """The format of a new volume."""
        return self.storage(node, name).default_format

    def resolve_format(self, node: str, name: str, wanted: str | None) -> str:
        """The wanted format where the storage has it, or its default."""
        storage = self.storage(node, name)
        return wanted if wanted in storage.formats and wanted is not None else storage.default_format

    def allocate(
        self, node: str, name: str, vmid: int, image_format: str | None, size: int, volume: str | None = None
    ) -> str:
        """A new, empty volume of so many bytes."""
        storage = self.enabled(node, name)
        image_format = image_format or storage.default_format
        with self._locks.storage(name, shared=storage.shared):
            volume = storage.allocated_name(vmid, image_format, volume)
            if storage.has_files:
                self.making(size)
            images.create(storage.file(volume), storage.file_format(volume), size, storage.names)
        return f"{name}:{volume}"

    def free(self, node: str, volid: str) -> None:
        """Removes a volume; dies when linked clones need it."""
        storage, name = self.find(node, volid)
        self.enabled(node, storage.name)
        with self._locks.storage(storage.name, shared=storage.shared):
            if self.is_used_base(node, volid):
                raise ApiError(f"base volume '{name}' is still in use by linked clones")
            if storage.exists(name):
                images.remove(storage.file(name))
            else:
                say(f"disk image '{storage.told_path(name)}' does not exist")

    def is_used_base(self, node: str, volid: str) -> bool:
        """Linked clones need the volume."""
        storage, name = self.find(node, volid)
        base = storage.parse(name)
        if not base.is_base:
            return False
        for other in storage.owned():
            volume = storage.parse(other)
            parent = storage.info(other)
            if volume.base == base.name and volume.base_vmid == base.vmid:
                return True
            if parent and parent.parent == base.name:
                return True
        return False

    def make_base(self, node: str, volid: str) -> str:
        """Turns a volume into a base of clones, which changes its name."""
        storage, name = self.find(node, volid)
        with self._locks.storage(storage.name, shared=storage.shared):
            volume = storage.parse(name)
            if volume.is_base:
                raise ApiError("create_base not possible with base image")
            renamed = storage.base_name(volume)
            if storage.exists(renamed):
                raise ApiError(f"file '{storage.told_path(renamed)}' already exists")
            storage.file(name).rename(storage.file(renamed))
        return f"{storage.name}:{renamed}"

    def clone(self, node: str, volid: str, vmid: int) -> str:
        """A copy-on-write clone of a base."""
        storage, name = self.find(node, volid)
        with self._locks.storage(storage.name, shared=storage.shared):
            base = storage.parse(name)
            if not base.is_base:
                raise ApiError("clone_image only works on base images")
            clone = storage.clone_name(base, vmid)
            if storage.clones_are_independent:
                images.duplicate(storage.file(name), storage.file(clone))
                return f"{storage.name}:{clone}"
            images.create_backed(storage.file(clone), storage.backing(base), storage.file_format(name), storage.names)
        return f"{storage.name}:{clone}"

    def rename(self, node: str, volid: str, vmid: int) -> str:
        """Gives a volume to another VM, which changes its name."""
        storage, name = self.find(node, volid)
        with self._locks.storage(storage.name, shared=storage.shared):
            renamed = storage.renamed(storage.parse(name), vmid)
            target = storage.file(renamed)
            target.parent.mkdir(parents=True, exist_ok=True)
            storage.file(name).rename(target)
        return f"{storage.name}:{renamed}"

    def copy(
        self, node: str, source: str, target: str, snapshot: str | None = None, *, kind: str = "clone", limit: int = 0
    ) -> None:
        """Copies the content of a volume into another.

        :param kind: ``clone`` or ``move``: by which storages limit it
        :param limit: KiB/s; 0: that of the storages
        """
        old, old_name = self.find(node, source)
        new, new_name = self.find(node, target)
        told = old.info(old_name)
        limits = [limit] if limit else [found for one in (old, new) if (found := one.limit(kind))]
        self.copying(told.size if told else 0, min(limits, default=0))
        images.convert(
            old.file(old_name),
            old.file_format(old_name),
            new.file(new_name),
            new.file_format(new_name),
            {**old.names, **new.names},
            snapshot or "",
        )

    def snapshot(self, node: str, volid: str, action: t.Literal["-c", "-a", "-d"], snapshot: str) -> None:
        """Makes, applies or removes a snapshot of a volume."""
        storage, name = self.find(node, volid)
        file = storage.file(name)
        if action == "-d" and snapshot not in images.snapshots(file, storage.names):
            return
        images.snapshot(file, action, snapshot, storage.names)

    def resize(self, node: str, volid: str, size: int) -> None:
        """Enlarges a volume to so many bytes."""
        storage, name = self.find(node, volid)
        images.resize(storage.file(name), storage.file_format(name), size, storage.names)

    def check_access(self, user: str, node: str, vmid: int | None, volid: str, kind: str | None = None) -> None:
        """Dies when the user may not use a volume (for a VM)."""
        parts = storage_of(volid)
        if parts is None:
            if user != "root@pam":
                raise ApiError(ONLY_ROOT)
            return
        volume = self.parse(node, volid)
        if kind and volume.kind != kind:
            raise ApiError(f"unable to use volume {volid} - content type needs to be '{kind}'")
        path = f"/storage/{parts[0]}"
        if self._access.may(user, path, ["Datastore.Allocate"]):
            return
        if volume.kind in ("iso", "vztmpl", "import"):
            self._access.check_any(user, path, ["Datastore.AllocateSpace", "Datastore.Audit"])
        elif volume.vmid is not None and volume.vmid == vmid:
            return
        elif volume.kind == "backup" and volume.vmid:
            self._access.check(user, path, ["Datastore.AllocateSpace"])
            self._access.check(user, f"/vms/{volume.vmid}", ["VM.Backup"])
        elif volume.kind == "images" and volume.vmid:
            self._access.check(user, path, ["Datastore.Audit"])
            self._access.check(user, f"/vms/{volume.vmid}", ["VM.Config.Disk"])
        else:
            raise ApiError(f"missing privileges to access {volid}")

    def readable(self, user: str, node: str, volid: str) -> bool:
        """The user may see the volume."""
        try:
            self.check_access(user, node, None, volid)
        except ApiError:
            return False
        return True
