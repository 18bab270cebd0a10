# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which way Kadeploy is asked, and where it fetches files. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from functools import cached_property

from ...errors import InputError
from ...nodes.frontend import Frontend
from ..shelf import LocalShelf, RemoteShelf, Shelf
from .backend import Backend
from .command import CommandLine
from .grid5000 import URL, Grid5000Api
from .rest import Rest
from .store import Store

#: Way → options that it needs, and those that it takes besides.
BACKENDS: t.Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rest": (("url",), ("user", "ca_file")),
    "command": ((), ()),
    "grid5000": (("site",), ("url", "user", "ca_file")),
}


@dataclass(frozen=True)
class Access:
    """Options of a deployment; what is empty was not given.

    :param user: as whom, with ``password``: by credentials, unless the file has an option for it.
    :param owner: what no other deployment has, for the name of its directory.
    """

    backend: str
    url: str
    site: str
    ca_file: str
    frontend: str
    ssh_config: str
    directory: str
    directory_url: str
    user: str
    password: str
    owner: str

    @property
    def place(self) -> str:
        """By which way, and where, Kadeploy is asked."""
        return " ".join(filter(None, (self.backend, self.url, self.site, self.frontend)))

    def require(self, given: t.Collection[str]) -> None:
        """:param given: options in the deployment file.

        :raises InputError: an option is missing, or is of another way.
        """
        needs, takes = BACKENDS[self.backend]
        for option in (*needs, "directory"):
            if not getattr(self, option):
                raise InputError(
                    f"platform kadeploy: the option {option!r} is missing in the deployment file"
                    + (f", which backend: {self.backend} needs" if option in needs else "")
                )
        for option in ("url", "site", "user", "ca_file"):
            if option in given and option not in (*needs, *takes):
                raise InputError(f"platform kadeploy: {option} is given, which backend: {self.backend} does not use")
        if self.ssh_config and not self.frontend:
            raise InputError("platform kadeploy: ssh_config is given without frontend")
        if self.backend == "grid5000" and not self.directory_url.startswith("http"):
            raise InputError(
                "platform kadeploy: directory_url is missing, expected a web address: backend: grid5000 takes "
                "descriptions of environments from there only"
            )

    @cached_property
    def frontend_host(self) -> Frontend | None:
        """``None`` where all is on this host."""
        return Frontend(self.frontend, self.ssh_config or None) if self.frontend else None

    def store(self, secret: t.Callable[[], str]) -> Store:
        """:param secret: known to the deployment only."""
        shelf: Shelf
        if self.frontend_host:
            shelf = RemoteShelf(self.frontend_host, self.directory, self.owner)
        else:
            shelf = LocalShelf(self.directory, self.owner)
        url = (self.directory_url or f"server://{self.directory}").rstrip("/")
        return Store(shelf, f"{url}/{self.owner}", secret)

    def open(self, store: Store) -> Backend:
        """:raises ComposeError: nobody answers, or the user is not accepted."""
        if self.backend == "rest":
            return Rest(self.url, self.user, self.password, self.ca_file)
        if self.backend == "command":
            return CommandLine(self.frontend_host)
        user = self.user if self.password else ""
        return Grid5000Api(self.site, store, user, self.password, self.url or URL, self.ca_file)
