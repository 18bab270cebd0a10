# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems that are two directories laid over each other. PRIVATE to the collection.

So the builder ``debian`` packs them, that what is installed is packed once. The upper one says what was removed of the
lower one as overlayfs has it: a character device 0/0 (filesystems/overlayfs.rst in the documentation of Linux).
"""

from __future__ import annotations

import os
import shutil
import stat

#: The upper one, and the lower one.
ROLE, PACKAGES = "role", "packages"


def are_in(directory: str) -> bool:
    """Whether a root file system is in layers; where it is not, these are names like others."""
    return all(os.path.isdir(os.path.join(directory, layer)) for layer in (ROLE, PACKAGES))


def lower_dirs(directory: str) -> str:
    """What overlayfs is told of them."""
    return ":".join(os.path.join(directory, layer) for layer in (ROLE, PACKAGES))


def join(directory: str) -> None:
    """Make one root file system of an unpacked one: owners, modes, times and links stay as they are."""
    joined = f"{directory}-joined"
    os.rename(os.path.join(directory, PACKAGES), joined)
    _lay(os.path.join(directory, ROLE), joined)
    os.rmdir(directory)
    os.rename(joined, directory)


def _lay(upper: str, lower: str) -> None:
    """Move all that is in a directory over what is in another, and the directory itself."""
    itself = os.stat(upper)  # before its times change
    for entry in list(os.scandir(upper)):
        there, what = os.path.join(lower, entry.name), entry.stat(follow_symlinks=False)
        is_directory = os.path.isdir(there) and not os.path.islink(there)
        if is_directory and stat.S_ISDIR(what.st_mode):
            _lay(entry.path, there)
            continue
        if is_directory:
            shutil.rmtree(there)
        elif os.path.lexists(there):
            os.unlink(there)
        if stat.S_ISCHR(what.st_mode) and what.st_rdev == 0:
            os.unlink(entry.path)
        else:
            os.rename(entry.path, there)
    os.chown(lower, itself.st_uid, itself.st_gid)
    shutil.copystat(upper, lower)
    os.utime(lower, ns=(itself.st_atime_ns, itself.st_mtime_ns))
    os.rmdir(upper)
