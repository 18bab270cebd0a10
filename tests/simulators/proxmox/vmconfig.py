"""Configuration files of VMs, in Proxmox' own format; whoever edits a file changes its digest, as on a real node."""

from __future__ import annotations

import copy
import hashlib
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from .drives import Drive, is_drive, parse_drive
from .errors import ApiError
from .formats import Properties

#: Values of keys; ``None`` is a value that was sent empty.
Values = dict[str, t.Any]

#: Keys that only the daemon writes.
INTERNAL: Properties = {
    "parent": {"type": "string"},
    "snaptime": {"type": "integer"},
    "snapstate": {"type": "string"},
    "vmstate": {"type": "string"},
    "runningmachine": {"type": "string"},
    "runningcpu": {"type": "string"},
    "meta": {"type": "string"},
}
SECTION = re.compile(r"\[([a-zA-Z][\w:-]*)\]\s*", re.ASCII)
LINE = re.compile(r"([a-z][a-z_\-]*\d*):\s*(.+?)\s*", re.ASCII)
#: Characters of a description that are written as they are.
SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in "%:")


@dataclass
class VmConfig:
    """What is in a configuration file."""

    values: Values = field(default_factory=dict)
    pending: Values = field(default_factory=dict)
    snapshots: dict[str, Values] = field(default_factory=dict)
    digest: str = ""

    def copy(self) -> VmConfig:
        """A copy that may be changed."""
        return copy.deepcopy(self)

    @property
    def is_template(self) -> bool:
        """The VM is a template."""
        return str(self.values.get("template", 0)) == "1"

    def check_lock(self) -> None:
        """Dies when another operation has locked the VM."""
        if self.values.get("lock"):
            raise ApiError(f"VM is locked ({self.values['lock']})")

    def check_protection(self, what: str) -> None:
        """Dies when the VM is protected."""
        if self.values.get("protection"):
            raise ApiError(f"{what} - protection mode enabled")

    def current(self, *, pending: bool) -> Values:
        """The values, with those that are pending or without."""
        values = dict(self.values)
        if pending:
            values.update({key: value for key, value in self.pending.items() if key != "delete"})
            for key in self.pending_delete():
                values.pop(key, None)
        return values

    def pending_delete(self) -> dict[str, bool]:
        """Keys to be deleted → whether their volume is destroyed, too."""
        words = re.split(r"[,;\s]+", self.pending.get("delete") or "")
        return {word.lstrip("!"): word.startswith("!") for word in words if word}

    def set_pending_delete(self, keys: dict[str, bool]) -> None:
        """Replaces the keys to be deleted."""
        self.pending.pop("delete", None)
        if keys:
            self.pending["delete"] = ",".join(("!" if keys[key] else "") + key for key in sorted(keys))

    def add_pending_delete(self, key: str, force: bool = False) -> None:
        """Marks a key to be deleted."""
        self.set_pending_delete({**self.pending_delete(), key: force})

    def drop_pending_delete(self, key: str) -> None:
        """The key is not to be deleted any more."""
        keys = self.pending_delete()
        keys.pop(key, None)
        self.set_pending_delete(keys)

    def clean_pending(self) -> bool:
        """Forgets pending changes that change nothing."""
        before = dict(self.pending)
        for key, value in before.items():
            if key != "delete" and self.values.get(key) is not None and str(value) == str(self.values[key]):
                del self.pending[key]
        kept = {key: force for key, force in self.pending_delete().items() if self.values.get(key) is not None}
        self.set_pending_delete(kept)
        return self.pending != before

    def add_unused(self, volume: str) -> str | None:
        """Enters a volume into the lowest free ``unusedN``; ``None`` where it is in one already."""
        free = None
        for index in reversed(range(256)):
            key = f"unused{index}"
            if key not in self.values:
                free = key
            elif self.values[key] == volume:
                return None
        if free is None:
            raise ApiError("Too many unused volumes - please delete them first.")
        self.values[free] = volume
        return free

    def drives(self, values: Values | None = None, *, unused: bool = False) -> t.Iterator[tuple[str, Drive]]:
        """Drives in Proxmox' order, of the configuration or of other values."""
        values = self.values if values is None else values
        keys = [key for key in drive_order() if key in values]
        if unused:
            keys += [key for key in values if re.fullmatch(r"unused\d+", key)]
        for key in keys:
            drive = parse_drive(key, str(values[key]))
            if drive is not None:
                yield key, drive


def drive_order() -> list[str]:
    """Names of drives in the order in which Proxmox goes through them."""
    counts = {"ide": 4, "scsi": 31, "virtio": 16, "sata": 6}
    names = [f"{name}{index}" for name, count in counts.items() for index in range(count)]
    return [*names, "efidisk0", "tpmstate0"]


def typed(key: str, value: t.Any, options: Properties) -> t.Any:
    """A value as it is written and read: integers and booleans are numbers."""
    if key not in options:
        raise ApiError(f"unable to parse value of '{key}' - unknown setting '{key}'\n")
    if value is None:
        raise ApiError(f"unable to parse value of '{key}' - got undefined value\n")
    kind, text = options[key].get("type"), str(value)
    if "\n" in text or "\r" in text:
        raise ApiError(f"unable to parse value of '{key}' - property contains a line feed\n")
    if kind == "boolean":
        return int(re.fullmatch("1|on|yes|true", text, re.IGNORECASE) is not None)
    return int(text) if kind == "integer" and text.isdigit() else text


def parse(raw: str, options: Properties) -> VmConfig:
    """The content of a configuration file."""
    config = VmConfig(digest=hashlib.sha1(raw.encode()).hexdigest())
    section = config.values
    comments: dict[int, list[str]] = {id(section): []}
    for line in raw.splitlines():
        match = SECTION.fullmatch(line)
        if match:
            name = match[1]
            section = config.pending if name == "PENDING" else config.snapshots.setdefault(name, {})
            comments.setdefault(id(section), [])
        elif line.startswith("#"):
            comments[id(section)].append(unquote(line[1:]))
            section["description"] = "\n".join(comments[id(section)])
        elif match := LINE.fullmatch(line):
            key, value = match[1], match[2]
            section[key] = value if key == "delete" else typed(key, value, options)
    return config


def render(config: VmConfig, options: Properties) -> str:
    """The content of the file; an ``unusedN`` whose volume is attached again is left out."""
    attached: set[str] = set()
    for values in (config.values, config.pending, *config.snapshots.values()):
        for key in [key for key in values if key not in ("description", "delete")]:
            values[key] = typed(key, values[key], options)
            if (values is config.values or values is config.pending) and is_drive(key):
                drive = parse_drive(key, values[key])
                attached |= {drive["file"]} if drive else set()
    for key in list(config.values):
        if key.startswith("unused") and config.values[key] in attached:
            del config.values[key]
    text = _section(config.values)
    if config.pending:
        text += "\n[PENDING]\n" + _section(config.pending)
    for name in sorted(config.snapshots):
        text += f"\n[{name}]\n" + _section(config.snapshots[name])
    return text


def _section(values: Values) -> str:
    description = (values.get("description") or "").rstrip("\n")  # as Perl splits it
    lines = [f"#{quote(line, safe=SAFE)}" for line in description.split("\n")] if description else []
    lines += [f"{key}: {values[key]}" for key in sorted(values) if key != "description"]
    return "".join(f"{line}\n" for line in lines)


class ConfigFiles:
    """The configuration files of the cluster: ``nodes/NODE/qemu-server/VMID.conf``."""

    def __init__(self, root: Path, options: Properties, quorate: t.Callable[[], bool]) -> None:
        self._root = root
        self._options = {**options, **INTERNAL}
        self._quorate = quorate

    @property
    def options(self) -> Properties:
        """Options of a VM, with those that only the daemon writes."""
        return self._options

    def name(self, node: str, vmid: int) -> str:
        """The name of a file as messages tell it."""
        return f"nodes/{node}/qemu-server/{vmid}.conf"

    def find(self) -> dict[int, str]:
        """VM → the node it belongs to."""
        return {
            int(path.stem): path.parts[-3]
            for path in sorted(self._root.glob("nodes/*/qemu-server/*.conf"))
            if path.stem.isdigit()
        }

    def exists(self, node: str, vmid: int) -> bool:
        """The VM belongs to the node."""
        return (self._root / self.name(node, vmid)).exists()

    def check(self, node: str, vmid: int) -> None:
        """Dies when the VM does not belong to the node."""
        if not self.exists(node, vmid):
            raise ApiError(f"unable to find configuration file for VM {vmid} on node '{node}'")

    def load(self, node: str, vmid: int) -> VmConfig:
        """The configuration of a VM of a node; dies where there is none."""
        try:
            return parse((self._root / self.name(node, vmid)).read_text(), self._options)
        except FileNotFoundError:
            raise ApiError(f"Configuration file '{self.name(node, vmid)}' does not exist") from None

    def write(self, node: str, vmid: int, config: VmConfig) -> None:
        """Writes a configuration, in one step."""
        path = self._root / self.name(node, vmid)
        raw = render(config, self._options)
        if not self._quorate():
            raise ApiError(f"unable to open file '/etc/pve/{self.name(node, vmid)}.tmp.1' - Permission denied")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(raw)
        temporary.replace(path)
        config.digest = hashlib.sha1(raw.encode()).hexdigest()

    def remove(self, node: str, vmid: int) -> None:
        """Removes the file of a VM."""
        (self._root / self.name(node, vmid)).unlink()

    def move(self, node: str, vmid: int, target: str) -> None:
        """The VM belongs to another node from now on."""
        path = self._root / self.name(target, vmid)
        path.parent.mkdir(parents=True, exist_ok=True)
        (self._root / self.name(node, vmid)).rename(path)
