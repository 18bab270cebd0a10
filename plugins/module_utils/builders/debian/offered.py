# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether mirrors still have what is locked: found out before anything is fetched. PRIVATE to the collection."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
import typing as t
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from ...errors import InputError
from ...model.lock import LockedPackage
from .lock import HOW_TO_LOCK

#: Packages that are asked for at the same time; seconds for an answer, and for all of them.
PARALLEL, ANSWER, PATIENCE = 16, 5.0, 20.0
#: Packages that a message names.
NAMED = 10


def derivation_name(package: LockedPackage) -> str:
    """Of what fetches it, as ``nix/debian/images.nix`` has it."""
    return re.sub("[~%]", "-", os.path.basename(package.filename))


def require_offered(packages: t.Mapping[str, LockedPackage], mirrors: t.Mapping[str, str]) -> None:
    """Refuse packages that cannot be fetched. What a mirror does not say now, fetching says.

    :param packages: by name, those that are to be fetched.
    :param mirrors: archive → base URL.
    :raises InputError: names package, version, and the path or URL that it is not at.
    """
    nowhere = {name: package for name, package in packages.items() if package.archive not in mirrors}
    if nowhere:
        archives = ", ".join(dict.fromkeys(package.archive for package in nowhere.values()))
        raise InputError(
            f"{_listed({name: package.filename for name, package in nowhere.items()}, packages)}: from the archive "
            f"{archives}, which apt on this host does not have (it has {', '.join(mirrors.values())}); add it to "
            f"/etc/apt, as Debian's installer does, or {HOW_TO_LOCK}"
        )
    urls = {name: f"{mirrors[package.archive]}/{package.filename}" for name, package in packages.items()}
    with ThreadPoolExecutor(PARALLEL) as pool:
        gone = dict(zip(urls, pool.map(_Asking().is_gone, urls.values())))
    lost = {name: url for name, url in urls.items() if gone[name]}
    if lost:
        raise InputError(
            f"the mirror no longer has the locked version of: {_listed(lost, packages)}; nothing was fetched; "
            f"{HOW_TO_LOCK}"
        )


def _listed(places: t.Mapping[str, str], packages: t.Mapping[str, LockedPackage]) -> str:
    named = [f"{name} {packages[name].version} ({places[name]})" for name in sorted(places)]
    return ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")


class _Asking:
    """Asks as long as mirrors answer, and no longer than :data:`PATIENCE`."""

    def __init__(self) -> None:
        self._end = time.monotonic() + PATIENCE
        self._silent = threading.Event()
        # Not Ansible's own: of its code, a step has only what its module imports.
        self._opener = urllib.request.build_opener()

    def is_gone(self, url: str) -> bool:
        """Whether the mirror says so."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            return not os.path.exists(parts.path)
        if parts.scheme not in ("http", "https"):
            return False
        # Proxies that keep packages may not know those that nobody has fetched: HEAD alone is no proof.
        return self._lacks(url, "HEAD") and self._lacks(url, "GET")

    def _lacks(self, url: str, method: str) -> bool:
        if self._silent.is_set() or time.monotonic() > self._end:
            return False
        try:
            self._opener.open(urllib.request.Request(url, method=method), timeout=ANSWER).close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code in (404, 410)
        except (OSError, ValueError, http.client.HTTPException):
            self._silent.set()
        return False
