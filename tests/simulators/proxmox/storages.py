"""Kinds of storages: how their volumes are named, and where they are.

A directory (also NFS, CephFS …) has files; RBD, LVM-thin and ZFS have block devices, which are kept as qcow2 files
here and are ``raw`` for everybody else.
"""

from __future__ import annotations

import re
import typing as t
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from . import images
from .errors import ApiError

SUBDIRECTORIES = {
    "images": "images",
    "rootdir": "private",
    "iso": "template/iso",
    "vztmpl": "template/cache",
    "backup": "dump",
    "snippets": "snippets",
    "import": "import",
}
FILE_TYPES = ("dir", "nfs", "cifs", "cephfs", "btrfs")
EXTENSIONS = {
    "iso": r"[^/]+\.(?:iso|img)",
    "vztmpl": r"[^/]+\.(?:tar(?!\.)|tar\.(?:gz|xz|zst|bz2))",
    "backup": r"[^/]+\.(?:tgz|(?:tar|vma)(?:\.(?:gz|lzo|zst|bz2))?)",
    "snippets": r"[^/]+",
    "import": r"[ a-zA-Z0-9\-.+=_]+\.(?:ova|ovf|qcow2|raw|vmdk)",
}
FEATURES_OF_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "snapshot": {"current": ("qcow2",), "snap": ("qcow2",)},
    "clone": {"base": ("qcow2", "raw", "vmdk")},
    "template": {"current": ("qcow2", "raw", "vmdk", "subvol")},
    "copy": {"base": ("qcow2", "raw", "vmdk"), "current": ("qcow2", "raw", "vmdk"), "snap": ("qcow2",)},
    "rename": {"current": ("qcow2", "raw", "vmdk")},
}


@dataclass
class Volume:
    """A parsed name of a volume."""

    kind: str
    name: str
    format: str
    vmid: int | None = None
    base: str | None = None
    base_vmid: int | None = None
    is_base: bool = False


class Storage(ABC):
    """A storage, as one node sees it."""

    formats: t.ClassVar[tuple[str, ...]]

    def __init__(self, name: str, config: dict[str, t.Any], root: Path) -> None:
        self.name, self.config, self.root = name, config, root
        self.default_format = config.get("format") or "raw"
        self.shared = bool(int(config.get("shared", 0)))

    @property
    def content(self) -> set[str]:
        """Kinds of content that are enabled."""
        return set(re.split("[,; ]+", self.config.get("content", "images,rootdir")))

    @property
    def has_files(self) -> bool:
        """The storage is a directory."""
        return self.config["type"] in FILE_TYPES

    #: A clone needs its base no more.
    clones_are_independent: t.ClassVar[bool] = False

    def limit(self, kind: str) -> float:
        """KiB/s at which volumes are copied (``clone``) or moved; 0 is as fast as can be."""
        told = dict(part.partition("=")[::2] for part in str(self.config.get("bwlimit", "")).split(",") if part)
        return float(told.get(kind) or told.get("default") or 0)

    @property
    def names(self) -> dict[str, str]:
        """Real paths → paths as a node tells them."""
        return {str(self.root): self.config.get("path", "")}

    @abstractmethod
    def parse(self, name: str) -> Volume:
        """The parts of a volume's name; dies where it is none."""

    @abstractmethod
    def file(self, name: str) -> Path:
        """The real file of a volume."""

    @abstractmethod
    def file_format(self, name: str) -> str:
        """The format of the real file."""

    @abstractmethod
    def told_path(self, name: str) -> str:
        """The path of a volume as a node tells it."""

    @abstractmethod
    def owned(self, vmid: int | None = None) -> list[str]:
        """Names of disk volumes, of all VMs or of one."""

    @abstractmethod
    def feature(self, feature: str, name: str, snapshot: str | None = None) -> bool:
        """The storage can do something with a volume (or with a snapshot of it)."""

    @abstractmethod
    def allocated_name(self, vmid: int, image_format: str, name: str | None) -> str:
        """The name of a new volume; dies where that is not possible."""

    @abstractmethod
    def base_name(self, volume: Volume) -> str:
        """The name of a volume that becomes a base."""

    @abstractmethod
    def renamed(self, volume: Volume, vmid: int) -> str:
        """The name of a volume that is given to another VM."""

    @abstractmethod
    def clone_name(self, volume: Volume, vmid: int) -> str:
        """The name of a copy-on-write clone of a base."""

    @abstractmethod
    def backing(self, volume: Volume) -> str:
        """The base's file, as seen from the clone's directory."""

    def info(self, name: str) -> images.ImageInfo | None:
        """Size and format of a volume; ``None`` where there is none."""
        path = self.file(name)
        if not path.exists():
            return None
        told = images.info(path, self.file_format(name), self.names)
        told.format = self.parse(name).format
        return told

    @abstractmethod
    def files(self, vmid: int | None) -> list[Path]:
        """Real files of disk volumes, of all VMs or of one."""

    def free_number(self, vmid: int) -> int:
        """The lowest number that no disk of the VM has."""
        names = [re.fullmatch(rf"(?:vm|base)-{vmid}-disk-(\d+)(?:\.\w+)?", path.name) for path in self.files(vmid)]
        used = {int(match[1]) for match in names if match}
        return next(number for number in range(len(used) + 1) if number not in used)

    def exists(self, name: str) -> bool:
        """The volume is there."""
        return self.file(name).exists()


class FileStorage(Storage):
    """Disk images as files: ``100/vm-100-disk-0.qcow2``."""

    formats = ("qcow2", "raw", "subvol", "vmdk")

    def parse(self, name: str) -> Volume:
        match = re.fullmatch(r"(?:(\d+)/(\S+)/)?(\d+)/(\S+)", name)
        if match:
            if match[2]:
                _parse_file(match[2])
            image_format, is_base = _parse_file(match[4])
            base_vmid = int(match[1]) if match[1] else None
            return Volume("images", match[4], image_format, int(match[3]), match[2], base_vmid, is_base)
        kind, slash, file = name.partition("/")
        flags = re.NOFLAG if kind in ("import", "backup") else re.IGNORECASE
        if slash and kind in EXTENSIONS and re.fullmatch(EXTENSIONS[kind], file, flags):
            owner = re.match(r"vzdump-(?:openvz|lxc|qemu)-(\d+)-.+", file) if kind == "backup" else None
            image_format = file.rpartition(".")[2] if kind == "import" else "raw"
            return Volume(kind, file, image_format, int(owner[1]) if owner else None)
        raise ApiError(f"unable to parse directory volume name '{name}'")

    def _relative(self, name: str) -> str:
        volume = self.parse(name)
        owner = f"{volume.vmid}/" if volume.kind == "images" else ""
        return f"{SUBDIRECTORIES[volume.kind]}/{owner}{volume.name}"

    def file(self, name: str) -> Path:
        return self.root / self._relative(name)

    def file_format(self, name: str) -> str:
        return self.parse(name).format

    def told_path(self, name: str) -> str:
        return f"{self.config['path']}/{self._relative(name)}"

    def files(self, vmid: int | None) -> list[Path]:
        return sorted(self.root.glob(f"images/{vmid or '[0-9]*'}/*"))

    def owned(self, vmid: int | None = None) -> list[str]:
        names = []
        for path in self.files(vmid):
            try:
                image_format, dummy = _parse_file(path.name)
                told = images.info(path, image_format, self.names)
            except ApiError:
                continue
            parent = re.fullmatch(r"\.\./(\d+)/([^/]+)", told.parent or "")
            base = f"{parent[1]}/{parent[2]}/" if parent else ""
            names.append(f"{base}{path.parent.name}/{path.name}")
        return names

    def feature(self, feature: str, name: str, snapshot: str | None = None) -> bool:
        volume = self.parse(name)
        key = "snap" if snapshot else "base" if volume.is_base else "current"
        return volume.format in FEATURES_OF_FILES.get(feature, {}).get(key, ())

    def allocated_name(self, vmid: int, image_format: str, name: str | None) -> str:
        name = name or f"vm-{vmid}-disk-{self.free_number(vmid)}.{image_format}"
        found, dummy = _parse_file(name)
        if image_format == "subvol":
            raise ApiError("storage does not support subvol quotas")
        if found != image_format:
            raise ApiError(f"illegal name '{name}' - wrong extension for format ('{found} != '{image_format}')")
        if self.exists(f"{vmid}/{name}"):
            raise ApiError(f"disk image '{self.told_path(f'{vmid}/{name}')}' already exists")
        return f"{vmid}/{name}"

    def base_name(self, volume: Volume) -> str:
        base = f"{volume.base_vmid}/{volume.base}/" if volume.base else ""
        return f"{base}{volume.vmid}/{re.sub('^vm-', 'base-', volume.name)}"

    def renamed(self, volume: Volume, vmid: int) -> str:
        base = f"{volume.base_vmid}/{volume.base}/" if volume.base else ""
        return f"{base}{vmid}/vm-{vmid}-disk-{self.free_number(vmid)}.{volume.format}"

    def clone_name(self, volume: Volume, vmid: int) -> str:
        return f"{volume.vmid}/{volume.name}/{vmid}/vm-{vmid}-disk-{self.free_number(vmid)}.qcow2"

    def backing(self, volume: Volume) -> str:
        return f"../{volume.vmid}/{volume.name}"


def _parse_file(name: str) -> tuple[str, bool]:
    """Format and being a base, of the name of an image file."""
    if re.fullmatch(r"snap-.*\.qcow2", name):
        raise ApiError(f"'{name}' is a snapshot filename, not a volume!")
    match = re.fullmatch(r"(base-)?[^/\s]+\.(raw|qcow2|vmdk|subvol)", name)
    if match is None:
        raise ApiError(f"unable to parse volume filename '{name}'")
    return match[2], match[1] is not None


class BtrfsStorage(FileStorage):
    """Disk images as subvolumes with a raw file, which Btrfs can snapshot and clone; kept as qcow2 files here."""

    formats = ("raw", "subvol")
    clones_are_independent = True

    def file_format(self, name: str) -> str:
        volume = self.parse(name)
        return "qcow2" if volume.kind == "images" else volume.format

    def owned(self, vmid: int | None = None) -> list[str]:
        return [f"{path.parent.name}/{path.name}" for path in self.files(vmid)]

    def feature(self, feature: str, name: str, snapshot: str | None = None) -> bool:
        return feature in ("snapshot", "clone", "template", "copy", "rename")

    def allocated_name(self, vmid: int, image_format: str, name: str | None) -> str:
        if image_format not in self.formats:
            raise ApiError(f"unsupported format '{image_format}'")
        return super().allocated_name(vmid, image_format, name)

    def clone_name(self, volume: Volume, vmid: int) -> str:
        return f"{vmid}/vm-{vmid}-disk-{self.free_number(vmid)}.raw"


class BlockStorage(Storage):
    """Disk images as block devices: ``vm-100-disk-0``, clones (but for LVM-thin) ``base-9-disk-0/vm-100-disk-0``."""

    formats = ("raw",)
    KINDS: t.ClassVar[dict[str, str]] = {"rbd": "rbd", "lvmthin": "lvm", "zfspool": "zfs", "lvm": "lvm"}

    @property
    def _type(self) -> str:
        return str(self.config["type"])

    def parse(self, name: str) -> Volume:
        match = re.fullmatch(r"(?:(base-(\d+)-\S+)/)?((base|vm)-(\d+)-\S+)", name)
        if match is None:
            raise ApiError(f"unable to parse {self.KINDS.get(self._type, self._type)} volume name '{name}'")
        base_vmid = int(match[2]) if match[2] else None
        return Volume("images", match[3], "raw", int(match[5]), match[1], base_vmid, match[4] == "base")

    def file(self, name: str) -> Path:
        return self.root / "blocks" / self.parse(name).name

    def file_format(self, name: str) -> str:
        return "qcow2"

    def told_path(self, name: str) -> str:
        pool = self.config.get("pool") or self.config.get("vgname") or self.name
        image = self.parse(name).name
        return f"rbd:{pool}/{image}" if self._type == "rbd" else f"/dev/{pool}/{image}"

    def files(self, vmid: int | None) -> list[Path]:
        return sorted((self.root / "blocks").glob(f"*-{vmid or '[0-9]*'}-*"))

    def owned(self, vmid: int | None = None) -> list[str]:
        names = []
        for path in self.files(vmid):
            told = images.info(path, "qcow2", self.names)
            keeps = told.parent and self._type != "lvmthin"
            names.append(f"{told.parent}/{path.name}" if keeps else path.name)
        return names

    def feature(self, feature: str, name: str, snapshot: str | None = None) -> bool:
        key = "snap" if snapshot else "base" if self.parse(name).is_base else "current"
        features = {
            "snapshot": ("current",) if self._type == "lvmthin" else ("current", "snap"),
            "clone": ("base", "snap"),
            "template": ("current",),
            "copy": ("base", "current", "snap"),
            "rename": ("current",),
        }
        return key in features.get(feature, ())

    def allocated_name(self, vmid: int, image_format: str, name: str | None) -> str:
        if name and not name.startswith(f"vm-{vmid}-"):
            raise ApiError(f"illegal name '{name}' - should be 'vm-{vmid}-*'")
        if image_format != "raw":
            raise ApiError(f"unsupported format '{image_format}'")
        name = name or f"vm-{vmid}-disk-{self.free_number(vmid)}"
        if self.exists(name):
            raise ApiError(f"rbd create '{name}' error: rbd: create error: (17) File exists")
        return name

    def base_name(self, volume: Volume) -> str:
        base = f"{volume.base}/" if volume.base else ""
        return base + re.sub("^vm-", "base-", volume.name)

    def renamed(self, volume: Volume, vmid: int) -> str:
        base = f"{volume.base}/" if volume.base else ""
        return f"{base}vm-{vmid}-disk-{self.free_number(vmid)}"

    def clone_name(self, volume: Volume, vmid: int) -> str:
        base = "" if self._type == "lvmthin" else f"{volume.name}/"
        return f"{base}vm-{vmid}-disk-{self.free_number(vmid)}"

    def backing(self, volume: Volume) -> str:
        return volume.name


#: Types that are neither plain directories nor block devices.
KINDS: dict[str, type[Storage]] = {"btrfs": BtrfsStorage}
