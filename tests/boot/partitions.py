# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk as the tools of a site make it, in a file: partitions, and file systems in them."""

from __future__ import annotations

import struct
import subprocess
import typing as t
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
MIB = 1 << 20
#: Of a GPT: how many entries, bytes of each, sectors of all.
ENTRIES, ENTRY, TABLE = 128, 128, 32
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


@dataclass(frozen=True)
class Partition:
    """One partition; they follow each other, whole MiB each."""

    number: int
    name: str
    mebibytes: int
    #: Directory that its ext4 file system holds; without one there is none.
    content: Path | None = None
    #: Of the file system.
    uuid: str = ""
    label: str = ""


def make_disk(path: Path, partitions: t.Sequence[Partition]) -> dict[str, tuple[int, int]]:
    """Write a disk with a GPT. Returns name → first byte and length of each partition."""
    places: dict[str, tuple[int, int]] = {}
    table = bytearray(ENTRIES * ENTRY)
    start = MIB
    for each in partitions:
        size = each.mebibytes * MIB
        places[each.name] = start, size
        own = uuid.uuid5(LINUX, each.name)
        entry = struct.pack(
            "<16s16sQQQ72s",
            LINUX.bytes_le,
            own.bytes_le,
            start // SECTOR,
            (start + size) // SECTOR - 1,
            0,
            each.name.encode("utf-16-le"),
        )
        table[(each.number - 1) * ENTRY : each.number * ENTRY] = entry
        start += size
    sectors = (start + MIB) // SECTOR
    with path.open("wb") as disk:
        disk.truncate(sectors * SECTOR)
        protective = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1)
        disk.write(protective.rjust(446 + len(protective), b"\0").ljust(510, b"\0") + b"\x55\xaa")
        disk.write(_header(1, sectors - 1, 2, sectors, table))
        disk.write(table)
        disk.seek((sectors - 1 - TABLE) * SECTOR)
        disk.write(table)
        disk.write(_header(sectors - 1, 1, sectors - 1 - TABLE, sectors, table))
    for each in partitions:
        if each.content is not None:
            place = f"offset={places[each.name][0]}"
            named = [word for pair in (("-U", each.uuid), ("-L", each.label)) if pair[1] for word in pair]
            options = ["-q", "-F", "-E", place, "-d", str(each.content), *named]
            subprocess.run(["mkfs.ext4", *options, str(path), f"{each.mebibytes}M"], check=True)
    return places


def _header(here: int, other: int, table_at: int, sectors: int, table: bytes) -> bytes:
    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            checksum,
            0,
            here,
            other,
            2 + TABLE,
            sectors - 2 - TABLE,
            LINUX.bytes_le,
            table_at,
            ENTRIES,
            ENTRY,
            zlib.crc32(table),
        )

    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")
