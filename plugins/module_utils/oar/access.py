# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which way OAR is asked. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..nodes.frontend import Frontend
from .base import Reservations
from .command import CommandLine
from .grid5000 import URL, Grid5000Api
from .rest import RestApi

#: Way → options that it needs, and those that it takes besides.
INTERFACES = {
    "command": ((), ("frontend", "ssh_config")),
    "rest": (("url",), ("username", "password", "ca_file")),
    "grid5000": (("site",), ("url", "username", "password", "ca_file")),
}


@dataclass(frozen=True)
class Access:
    """Where OAR is, and who asks. What is empty was not given."""

    interface: str = "command"
    frontend: str = ""
    ssh_config: str = ""
    url: str = ""
    site: str = ""
    username: str = ""
    password: str = ""
    ca_file: str = ""

    def __post_init__(self) -> None:
        """:raises InputError: an option is missing, or is of another way."""
        needs, takes = INTERFACES[self.interface]
        for option in ("frontend", "ssh_config", "url", "site", "username", "password", "ca_file"):
            given = bool(getattr(self, option))
            if option in needs and not given:
                raise InputError(f"{option} is missing, which interface: {self.interface} needs")
            if given and option not in (*needs, *takes):
                raise InputError(f"{option} is given, which interface: {self.interface} does not use")
        if bool(self.username) != bool(self.password):
            raise InputError("only one of username and password is given; expected both, or neither")
        if self.ssh_config and not self.frontend:
            raise InputError("ssh_config is given without frontend")

    def open(self) -> Reservations:
        """The jobs of the user there.

        :raises ComposeError: nobody answers, or the user is not accepted.
        """
        if self.interface == "rest":
            return RestApi(self.url, self.username, self.password, self.ca_file)
        if self.interface == "grid5000":
            return Grid5000Api(self.site, self.username, self.password, self.url or URL, self.ca_file)
        return CommandLine(Frontend(self.frontend, self.ssh_config or None) if self.frontend else None)
