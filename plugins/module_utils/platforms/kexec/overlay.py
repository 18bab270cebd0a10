# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is appended to the initramfs of an image, so that it needs no disk: archives that the kernel unpacks one after
another over each other (Documentation/driver-api/early-userspace/buffer-format.rst). PRIVATE to the collection.

``/kexec/root.squashfs`` is the root file system, ``/kexec/init`` the first process (:data:`.scripts.INIT`). What else
is in ``/kexec`` is of one node, and secret: ``deadline``, ``resolv.conf``, and the directory ``in``, which the node
sees as ``/run/compose/in``.
"""

from __future__ import annotations

import os
import stat
import typing as t

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


def with_root(initrd: str, root: str) -> t.Iterator[bytes]:
    """The image's initramfs, with the root file system behind it. Its length is :func:`length_with_root`."""
    yield from content(initrd)
    size = os.path.getsize(root)
    yield _padding(os.path.getsize(initrd)) + _before(size)
    yield from content(root)
    yield _padding(size) + _end()


def length_with_root(initrd: str, root: str) -> int:
    """Bytes of :func:`with_root`."""
    first, second = os.path.getsize(initrd), os.path.getsize(root)
    around = len(_before(second) + _end())
    return first + len(_padding(first)) + around + second + len(_padding(second))


def _before(size: int) -> bytes:
    """What is before a root file system of this size."""
    first = _header("kexec/init", len(scripts.INIT), 0o700) + scripts.INIT + _padding(len(scripts.INIT))
    return _member("kexec/", b"") + first + _header("kexec/root.squashfs", size)


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
