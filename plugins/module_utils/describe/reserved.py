# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that are not a role's: of the running system, of the node itself, of the whole system. PRIVATE."""

from __future__ import annotations

import fnmatch
import posixpath
import re

#: Directories that the running system fills: what an image had there would never be seen.
_RUNTIME = ("/dev", "/mnt", "/proc", "/run", "/sys", "/tmp", "/var/tmp")
#: What makes an image a node: its document, identity, way in, volumes.
_CONTRACT = (
    "/etc/compose",
    "/etc/ssh/ssh_host_*",
    "/etc/ssh/sshd_config.d/compose.conf",
    "/etc/systemd/system/*.wants/compose-*",
    "/etc/systemd/system/compose-*",
    "/usr/lib/compose",
    "/usr/lib/os-release",
    "/usr/lib/systemd/network/90-compose.network",
    "/usr/lib/systemd/system/*.wants/compose-*",
    "/usr/lib/systemd/system/compose-*",
    "/usr/lib/udev/rules.d/6?-compose-*",
)
#: Files that are made when the node boots.
_AT_BOOT = ("/etc/fstab", "/etc/hostname", "/etc/hosts", "/etc/machine-id")
#: Where a volume would hide what the system boots with.
_BOOTS_WITH = (
    "/",
    "/boot",
    "/etc",
    "/gnu",
    "/gnu/store",
    "/nix",
    "/nix/store",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
)
_BOOTS_WITH_ALL_OF = ("/etc/ssh", "/etc/systemd", "/usr/lib/systemd")
#: Directories that belong to many: a role has something in them, not all.
_SHARED = ("/", "/boot", "/etc", "/etc/ssh", "/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/var", "/var/lib")

#: Symbolic links of every Debian system.
_LINKS = (
    (re.compile(r"^/(s?bin|lib(?:32|64|x32)?)(?=/|$)"), r"/usr/\1"),
    (re.compile(r"^/var/run(?=/|$)"), "/run"),
    (re.compile(r"^/var/lock(?=/|$)"), "/run/lock"),
    (re.compile(r"^/etc/os-release$"), "/usr/lib/os-release"),
)


def not_a_file(path: str) -> str | None:
    """Why a role may not have a file or directory with this absolute path; ``None`` if it may."""
    path = _real(path)
    if path in _AT_BOOT:
        return "is made when the node boots, from its node document"
    return _not_a_path(path) or ("is a directory of the whole system: name what is in it" if path in _SHARED else None)


def not_a_mount(path: str) -> str | None:
    """Why no volume may be mounted at this absolute path; ``None`` if one may."""
    path = _real(path)
    if path in _BOOTS_WITH or _is_of(path, _AT_BOOT + _BOOTS_WITH_ALL_OF):
        return "would hide what the system boots with"
    return _not_a_path(path)


def is_below(path: str, directory: str) -> bool:
    """Whether an absolute path is in a directory, or is that itself."""
    path, directory = _real(path), _real(directory)
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def _not_a_path(path: str) -> str | None:
    for directory in _RUNTIME:
        if _is_of(path, (directory,)):
            return f"cannot be in an image: the running system has {directory} for itself"
    if _is_of(path, _CONTRACT):
        return "belongs to the node itself, which could not be reached or known without it"
    return None


def _is_of(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the path, or a directory above it, is among these."""
    parts = path.split("/")
    above = ["/".join(parts[: length + 1]) for length in range(1, len(parts))]
    return any(
        one.count("/") == pattern.count("/") and fnmatch.fnmatchcase(one, pattern)
        for one in above
        for pattern in patterns
    )


def _real(path: str) -> str:
    """The path without detours."""
    path = posixpath.normpath(path)
    for link, target in _LINKS:
        path = link.sub(target, path)
    return path
