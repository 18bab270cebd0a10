# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems of images as directories, shared by all containers of an image. PRIVATE to the collection."""

from __future__ import annotations

import os
import shutil
import threading

from ...errors import CommandError, ComposeError
from ...files import sync_below
from ...images import layers
from ...model.image import Image
from ...process import run
from ...progress import Progress

#: Largest ratio of a root file system to its squashfs that is expected, where it has to be unpacked.
_EXPANSION = 5

#: What a NixOS system expects to be there.
_DIRECTORIES = ("bin", "dev", "etc/nxc", "home", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var")


class Roots:
    """``images/<identity>`` in the state directory: the squashfs mounted, or unpacked where it cannot be mounted."""

    def __init__(self, state: str, progress: Progress) -> None:
        self.directory = os.path.join(state, "images")
        self.progress = progress
        self._lock = threading.Lock()

    def path(self, identity: str) -> str:
        return os.path.join(self.directory, identity)

    def stage(self, image: Image) -> bool:
        """Make the root of an image available; whether anything had to be done."""
        path = self.path(image.identity)
        with self._lock:
            if os.path.isdir(path) and os.listdir(path):
                return False
            if "toplevel" in image.formats:
                self._around(image)
                return True
            os.makedirs(path, mode=0o755, exist_ok=True)
            try:
                _mount(image.path("root"), path)
            except CommandError as error:
                why = error.output.strip().splitlines()[:1] or [str(error.returncode)]
                self.progress.say(f"stage {image.identity}: cannot be mounted here ({why[0]}), unpacking it")
                self._unpack(image)
            return True

    def _around(self, image: Image) -> None:
        """A root with nothing but the way to a system in the store of this host, which is mounted in it."""
        system, temporary = os.path.realpath(image.path("toplevel")), self.path(f".{image.identity}")
        if os.path.exists(temporary):
            shutil.rmtree(temporary)
        for name in (*_DIRECTORIES, os.path.dirname(system)[1:]):
            os.makedirs(os.path.join(temporary, name), mode=0o755)
        os.symlink(os.path.join(system, "init"), os.path.join(temporary, "sbin/init"))
        # A copy: a link would lead nowhere when systemd-nspawn looks whether this is a system.
        shutil.copyfile(os.path.join(system, "etc/os-release"), os.path.join(temporary, "etc/os-release"))
        sync_below(temporary)
        os.rename(temporary, self.path(image.identity))

    def _unpack(self, image: Image) -> None:
        free = os.statvfs(self.directory).f_bavail * os.statvfs(self.directory).f_frsize
        needed = image.formats["root"].size * _EXPANSION
        if free < needed:
            raise ComposeError(
                f"no space to unpack {image.identity}: {self.directory} has {free >> 20} MiB free, "
                f"up to {needed >> 20} MiB are needed",
                step="stage",
            )
        temporary = self.path(f".{image.identity}")
        if os.path.exists(temporary):
            shutil.rmtree(temporary)
        try:
            with self.progress.waiting(lambda: f"stage {image.identity}: unpacking"):
                run(["unsquashfs", "-no-progress", "-d", temporary, image.path("root")], timeout=1800)
                if layers.are_in(temporary):
                    layers.join(temporary)
        except CommandError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_below(temporary)
        os.rename(temporary, self.path(image.identity))

    def names(self) -> list[str]:
        """Identities of all roots that are there."""
        entries = os.listdir(self.directory) if os.path.isdir(self.directory) else []
        return sorted(entry for entry in entries if not entry.startswith("."))

    def drop(self, keep: set[str]) -> None:
        """Forget all roots but those to keep, and what killed runs left."""
        if not os.path.isdir(self.directory):
            return
        locks = {f".#{identity}.lck" for identity in keep}  # systemd-nspawn's own, next to the directory it locks
        for entry in sorted(set(os.listdir(self.directory)) - keep - locks):  # with a dot, half unpacked, comes first
            path = self.path(entry)
            if not os.path.isdir(path):
                os.unlink(path)
                continue
            _unmount(path)
            gone = self.path(f".{entry.lstrip('.')}")
            os.rename(path, gone)  # a root that is only half there must not pass for staged
            shutil.rmtree(gone)
        if not os.listdir(self.directory):
            os.rmdir(self.directory)


def _mount(squashfs: str, path: str) -> None:
    """:raises CommandError: nothing is mounted."""
    run(["mount", "-t", "squashfs", "-o", "loop,ro", squashfs, path], timeout=60)
    if layers.are_in(path):
        lower = layers.lower_dirs(path)  # those of what is mounted now, also once it is hidden
        try:
            run(["mount", "-t", "overlay", "-o", f"ro,lowerdir={lower}", "overlay", path], timeout=60)
        except CommandError:
            _unmount(path)
            raise


def _unmount(path: str) -> None:
    while os.path.ismount(path):
        run(["umount", path], timeout=60)
