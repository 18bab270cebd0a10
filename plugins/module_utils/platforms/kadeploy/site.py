# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment has to do with at a site: Kadeploy, the server of its files, who lends the machines. PRIVATE to the
collection."""

from __future__ import annotations

import getpass
import hashlib
import os
import typing as t
from functools import cached_property

from ...errors import InputError
from ...model.deployment import Deployment
from ...nodes.keys import Keys
from ...progress import Progress
from ..ledger import Ledger
from . import disks
from .access import Access
from .backend import Backend
from .claims import Claims
from .deployments import Deployer
from .lender import Lender
from .options import OPTIONS
from .store import Store


class Site:
    """Each part is made when it is first needed: options that are wrong must not be in the way before they are checked.

    :param keys: of the deployment's login.
    """

    def __init__(self, deployment: Deployment, keys: Keys, progress: Progress) -> None:
        self._deployment = deployment
        self._keys = keys
        self._progress = progress
        #: With what the names begin that Kadeploy knows.
        self.prefix = f"compose-{deployment.name}-"

    @cached_property
    def access(self) -> Access:
        mark = hashlib.sha256(os.path.realpath(self._deployment.state).encode()).hexdigest()[:8]
        names = ("backend", "url", "site", "ca_file", "frontend", "ssh_config", "directory", "directory_url")
        return Access(
            **{name: str(self._setting(name) or "") for name in names},
            user=self._user,
            password=self._password,
            owner=f"{self._deployment.name}-{mark}",
        )

    @cached_property
    def backend(self) -> Backend:
        return self.access.open(self.store)

    @cached_property
    def store(self) -> Store:
        return self.access.store(self._secret)

    @cached_property
    def deployer(self) -> Deployer:
        return Deployer(self.backend, self.store, self.prefix, self._progress)

    @cached_property
    def lender(self) -> Lender | None:
        """Who has the machines, if they are reserved."""
        wanted, state = self._deployment.reservation, self._deployment.state
        highest = disks.scratch(self._deployment.nodes)
        return Lender(wanted, state, self._user, self._password, self._progress, highest) if wanted else None

    @cached_property
    def claims(self) -> Claims:
        return Claims(self._deployment.state)

    def _setting(self, name: str) -> t.Any:
        """An option of the whole deployment."""
        options = [node.options for node in self._deployment.nodes]
        if not options:  # all nodes are to go
            state = self._deployment.state
            boots = [Ledger(state, known).readable()[0] for known in Ledger.names(state)]
            options = [boot.options for boot in boots if boot is not None]
        given = {each[name] for each in options if each.get(name) is not None}
        if len(given) > 1:
            raise InputError(f"{name} is {' and '.join(sorted(map(str, given)))}, expected the same for all nodes")
        return next(iter(given), OPTIONS[name].default)

    @property
    def _user(self) -> str:
        return str(self._setting("user") or self._deployment.credentials.get("user") or getpass.getuser())

    @property
    def _password(self) -> str:
        return self._deployment.credentials.get("password", "")

    def _secret(self) -> str:
        self._keys.login_public_key()
        with open(self._keys.identity_file, encoding="utf-8") as stream:
            return stream.read()
