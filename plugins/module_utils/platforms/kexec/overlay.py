# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is appended to the initramfs of an image, so that it needs no disk: archives that the kernel unpacks one after
another over each other (Documentation/driver-api/early-userspace/buffer-format.rst). PRIVATE to the collection.

``/kexec/root.squashfs`` is the root file system, unless that is on a server; ``/kexec/init`` the first process
(:data:`.scripts.INIT`). What else is in ``/kexec`` is of one node, and secret: ``deadline``, ``resolv.conf``, and the
directory ``in``, which the node sees as ``/run/compose/in``. With a root over NFS, ``nfs`` is ``ADDRESS PATH FILE
HOW``, how it is mounted, and ``interfaces`` has lines ``MAC ADDRESS GATEWAY``.
"""

from __future__ import annotations

import os
import stat
import typing as t
from dataclasses import dataclass

from ...model.image import Image
from . import scripts

#: Archives begin at a multiple of it, and so do their members and the data of these.
_ALIGNMENT = 4
#: What the kernel is told besides the image's own command line: without a first process, back to the disk.
PARAMETERS = "rdinit=/kexec/init panic=10"
#: Bytes that a member of the format ``newc`` may have.
LARGEST = (1 << 32) - 1
_CHUNK = 1 << 20


def archive(files: t.Mapping[str, bytes]) -> bytes:
    """An archive of directories (names that end with a slash) and files, all of root alone, in this order."""
    return b"".join([_member(name, data) for name, data in files.items()]) + _end()


@dataclass(frozen=True)
class System:
    """What a machine has to have before it starts an image."""

    #: By which it is known there.
    name: str
    #: Files of this host: kernel, and archives of the initramfs.
    kernel: str
    archives: tuple[str, ...]
    #: File that is the root file system; ``None``: it does not come along.
    root: str | None

    @classmethod
    def of(cls, image: Image, *, over_nfs: bool) -> System:
        kernel, initrd = image.path("kernel"), image.path("initrd")
        if over_nfs:
            return cls(f"{image.identity}-nfs", kernel, (initrd, image.path("network")), None)
        return cls(image.identity, kernel, (initrd,), image.path("root"))

    def initramfs(self) -> t.Iterator[bytes]:
        """What is of every node that runs the image."""
        for path in self.archives:
            yield from content(path)
            yield _padding(os.path.getsize(path))
        yield self._before()
        if self.root is not None:
            yield from content(self.root)
            yield _padding(os.path.getsize(self.root))
        yield _end()

    @property
    def length(self) -> int:
        """Bytes of :meth:`initramfs`."""
        files = self.archives if self.root is None else (*self.archives, self.root)
        whole = sum(-(-os.path.getsize(path) // _ALIGNMENT) * _ALIGNMENT for path in files)
        return whole + len(self._before() + _end())

    def _before(self) -> bytes:
        """What is before the root file system."""
        first = _header("kexec/init", len(scripts.INIT), 0o700) + scripts.INIT + _padding(len(scripts.INIT))
        before = _member("kexec/", b"") + first
        return before if self.root is None else before + _header("kexec/root.squashfs", os.path.getsize(self.root))


def content(path: str) -> t.Iterator[bytes]:
    """A file, in pieces."""
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + _padding(len(data))


def _header(name: str, size: int, permissions: int = 0o600) -> bytes:
    """Header and name: 13 numbers of eight hexadecimal digits; only mode, links, size and length of the name matter."""
    mode = 0 if name == "TRAILER!!!" else (stat.S_IFDIR | 0o700 if name.endswith("/") else stat.S_IFREG | permissions)
    path = name.rstrip("/").encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    return header + _padding(len(header))


def _end() -> bytes:
    return _header("TRAILER!!!", 0)


def _padding(length: int) -> bytes:
    return bytes(-length % _ALIGNMENT)
