# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether packages are what a lock calls them: its hashes say what is in an image, its names what people read of it.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ...errors import InputError
from ...model.lock import Lock, LockedPackage
from ...process import run

#: Packages that are looked at at the same time, and seconds for one.
AT_ONCE, SECONDS = 4, 60

_FIELDS = "${Package} ${Version} ${Architecture}"


def require_claims(lock: Lock, files: t.Collection[str], where: str) -> None:
    """Refuse packages whose own names, versions and architectures are others than the lock says.

    :param files: packages in the store; those of other hosts need not exist.
    :param where: file of the lock, for the message.
    :raises InputError: names each of the first.
    """
    by_file = {_in_store(package): (name, package) for name, package in lock.packages.items()}
    known = [(path, *by_file[name]) for path in files for name in [_name(path)] if name in by_file]

    def look(entry: tuple[str, str, LockedPackage]) -> str:
        path, name, package = entry
        said = run(["dpkg-deb", "--show", f"--showformat={_FIELDS}", path], timeout=SECONDS).stdout.strip()
        claimed = f"{name} {package.version} {package.architecture}"
        return "" if said == claimed else f"{claimed!r} is {said!r}"

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        wrong = [told for told in pool.map(look, [entry for entry in known if os.path.isfile(entry[0])]) if told]
    if wrong:
        told = "; ".join(sorted(wrong)[:5])
        raise InputError(f"{where}: packages are others than it says: {told}; somebody has changed it by hand")


def _in_store(package: LockedPackage) -> str:
    """Name of its file in the store, as ``nix/debian/images.nix`` has it."""
    return os.path.basename(package.filename).replace("~", "-").replace("%", "-")


def _name(path: str) -> str:
    return os.path.basename(path)[len("0" * 32 + "-") :]
