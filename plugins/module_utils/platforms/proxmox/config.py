# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a VM of Proxmox VE, as ``GET …/config`` gives it. PRIVATE to the collection.

Format: https://pve.proxmox.com/wiki/Manual:_qm.conf.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ...errors import ComposeError
from .answers import Values

_DRIVE = re.compile("(scsi|sata|virtio|ide)[0-9]{1,3}")
_UNUSED = re.compile("unused[0-9]{1,3}")
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: The buses in the order in which Proxmox looks for a disk to boot where no order is given.
_BUSES = ("ide", "scsi", "virtio", "sata")
#: Disks on these buses are never plugged into a running VM: a change waits for its next start.
_COLD_SLOTS = tuple(f"sata{number}" for number in range(5, -1, -1))
#: Of these, the bus that every kernel drives with machine type i440fx: Debian's cloud kernels have nothing for SATA.
_DOCUMENT_SLOTS = ("ide3", "ide1", "ide0", "ide2")
_VIRTIO_SLOTS = tuple(f"virtio{number}" for number in range(16))


@dataclass(frozen=True)
class Drive:
    """One drive: ``VOLUME,option=value,…``."""

    volume: str
    options: t.Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Drive:
        """Read a drive's value."""
        volume, *pairs = text.split(",")
        options = dict(pair.partition("=")[::2] for pair in pairs)
        return cls(options.pop("file", volume), options)

    @property
    def serial(self) -> str:
        """Serial number that the guest sees."""
        return self.options.get("serial", "")

    @property
    def size(self) -> int:
        """Bytes; 0 if it is not told."""
        return size_in_bytes(self.options.get("size", ""))

    @property
    def is_disk(self) -> bool:
        """No optical drive, whatever is in it."""
        return self.options.get("media") != "cdrom" and self.volume != "none"

    def holding(self, volume: str, serial: str) -> str:
        """The value of the same drive with another volume in it; cache, discard, iothread and the like stay."""
        kept = {key: value for key, value in self.options.items() if key not in ("size", "serial", "format")}
        return ",".join([volume, *(f"{key}={value}" for key, value in kept.items()), f"serial={serial}"])


def _place(key: str) -> tuple[int, int]:
    bus = key.rstrip("0123456789")
    return _BUSES.index(bus), int(key[len(bus) :])


def size_in_bytes(text: str) -> int:
    """``512M`` → bytes; 0 for anything else."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]+)?)([KMGT]?)", text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else 0


class Config:
    """One state of a VM's configuration, by the digest that a change of it has to name."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.digest = str(values.get("digest", ""))
        self.drives = {key: Drive.parse(str(text)) for key, text in values.items() if _DRIVE.fullmatch(key)}
        #: Volumes that are kept with the VM but are in no drive → their key.
        self.unused = {str(text): key for key, text in values.items() if _UNUSED.fullmatch(key)}

    def get(self, key: str) -> str:
        """A value as text; empty if there is none."""
        return str(self.values.get(key, ""))

    @property
    def lock(self) -> str:
        """What is being done to the VM: ``backup``, ``clone``, …; empty for nothing."""
        return self.get("lock")

    @property
    def boot_key(self) -> str | None:
        """The disk that is booted from."""
        order = re.search(r"order=([^,]*)", self.get("boot"))
        return self._first_disk(order[1].split(";") if order else [self.get("bootdisk")])

    @property
    def first_disk(self) -> str | None:
        """The disk that is booted from because nothing says which."""
        ordered = "order=" in self.get("boot")
        return None if ordered else self._first_disk(sorted(self.drives, key=_place))

    def _first_disk(self, keys: t.Iterable[str]) -> str | None:
        return next((key for key in keys if key in self.drives and self.drives[key].is_disk), None)

    @property
    def boot_drive(self) -> Drive | None:
        """What is in it."""
        return self.drives[self.boot_key] if self.boot_key else None

    @property
    def mac(self) -> str | None:
        """Address of the first network interface."""
        found = _MAC.search(self.get("net0"))
        return found[0].lower() if found else None

    def with_serial(self, serial: str) -> str | None:
        """The drive with a serial number."""
        return next((key for key, drive in self.drives.items() if drive.serial == serial), None)

    def volumes(self) -> set[str]:
        """All volumes that are in drives or kept."""
        return {drive.volume for drive in self.drives.values()} | set(self.unused)

    def cold_slot(self, taken: t.Collection[str] = ()) -> str:
        """A free slot for a disk that a running guest must not see. :raises ComposeError: there is none."""
        return self._free(_COLD_SLOTS, taken)

    def cold_slots(self, taken: t.Collection[str] = ()) -> list[str]:
        """All free slots of that kind."""
        return [slot for slot in _COLD_SLOTS if slot not in self.values and slot not in taken]

    def document_slot(self) -> str:
        """A free slot for the disk with the node document. :raises ComposeError: there is none."""
        return self._free(_DOCUMENT_SLOTS, ())

    def virtio_slot(self, taken: t.Collection[str] = ()) -> str:
        """A free slot for a disk of the guest. :raises ComposeError: there is none."""
        return self._free(_VIRTIO_SLOTS, taken)

    def _free(self, slots: t.Sequence[str], taken: t.Collection[str]) -> str:
        for slot in slots:
            if slot not in self.values and slot not in taken:
                return slot
        raise ComposeError(f"the VM has no free slot among {slots[0]} … {slots[-1]}; remove a drive")
