# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the API of Proxmox VE is, and who calls it, in the forms in which people write that down. PRIVATE."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import InputError, shown

#: Port of the API.
PORT = 8006
#: What :attr:`Access.host` may be, for messages.
_EXPECTED_HOST = "HOST, HOST:PORT or https://HOST:PORT/, for example pve1.example.org"
_EXPECTED_TOKEN = "USER@REALM!NAME, for example deploy@pve!compose"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+(%\w+)?\]")
_USER = re.compile(r"[^\s:/!]+@[A-Za-z][A-Za-z0-9._-]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]+")
#: Of a secret that is part of an HTTP header.
_SECRET = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Access:
    """Where the API is, and who calls it.

    ``token_id`` is ``USER@REALM!NAME``, or only its last part beside ``user``. ``ca_file`` is the certificate of the
    authority that signed the server's; with ``fingerprint`` (SHA-256, in hexadecimal) that very certificate is
    demanded instead.
    """

    host: str
    port: int = PORT
    user: str = ""
    password: str = ""
    token_id: str = ""
    token_secret: str = ""
    ca_file: str = ""
    fingerprint: str = ""

    @classmethod
    def at(cls, host: str, **others: t.Any) -> Access:
        """What was written down, without blanks around it (but for a password).

        :param host: ``HOST``, ``HOST:PORT``, or the address of the web interface.
        :raises InputError: it is none of these.
        """
        text = {key: value.strip() for key, value in others.items() if isinstance(value, str) and key != "password"}
        name, port = _place(host.strip())
        return cls(name, **{**others, **text, **({"port": port} if port else {})})

    def check(self) -> None:
        """:raises InputError: something is missing, or cannot be. Names what was expected, and never a secret."""
        if not self.host:
            raise InputError("no Proxmox host is given: set the option host, or PROXMOX_HOST in the environment")
        if self.token_id:
            self._check_token()
        elif not self.password:
            raise InputError("neither a token (token_id) nor a password for Proxmox is given; see the platform's page")
        if not _USER.fullmatch(self.account):
            raise InputError(f"the Proxmox user is {shown(self.account)}, expected USER@REALM, for example deploy@pve")
        if self.fingerprint and not self.token_id:
            raise InputError("a fingerprint is checked only with a token, not with a password; give ca_file instead")
        if self.fingerprint and not re.fullmatch(r"([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}", self.fingerprint):
            raise InputError(
                f"fingerprint is {shown(self.fingerprint)}, expected the 64 hexadecimal digits of a SHA-256"
            )
        self._check_authority()

    def _check_token(self) -> None:
        if "=" in self.token_id:  # as it is shown beside its secret, or in a header
            raise InputError(
                f"token_id has the token's secret in it, expected {_EXPECTED_TOKEN}, alone; give the secret as "
                "PROXMOX_TOKEN_SECRET in the environment, or as token_secret in the variable compose_credentials"
            )
        if not self.token_secret:
            raise InputError(
                f"the secret of the Proxmox token {shown(self.token_id)} is not given: set PROXMOX_TOKEN_SECRET in the "
                "environment, or token_secret in the variable compose_credentials"
            )
        if "=" in self.token_secret or not _SECRET.fullmatch(self.token_secret):
            raise InputError(
                f"the secret of the Proxmox token {shown(self.token_id)} (PROXMOX_TOKEN_SECRET, or token_secret) is "
                "not the secret alone: expected what Proxmox shows as value, without the token's name, blanks or quotes"
            )
        _user, bang, _name = self.token_id.partition("!")
        if bang and not _USER.fullmatch(_user):
            raise InputError(f"token_id is {shown(self.token_id)}, expected {_EXPECTED_TOKEN}: the realm is missing")
        if not _NAME.fullmatch(self.token_name) or (not bang and not self.user):
            where = "" if bang else " (or, with user: USER@REALM besides, NAME alone)"
            raise InputError(f"token_id is {shown(self.token_id)}, expected {_EXPECTED_TOKEN}{where}")

    def _check_authority(self) -> None:
        if self.ca_file and not os.path.exists(self.ca_file):
            raise InputError(f"ca_file {self.ca_file} does not exist")
        if self.ca_file or self.fingerprint:
            return
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # the library's own
            path = os.environ.get(variable)
            if path and not os.path.exists(path):
                raise InputError(
                    f"{variable} in the environment is {path}, which does not exist: the certificate of Proxmox at "
                    f"{self.host} cannot be verified with it; correct that, or give ca_file"
                )

    @property
    def account(self) -> str:
        """``USER@REALM``."""
        return self.token_id.partition("!")[0] if "!" in self.token_id else self.user

    @property
    def token_name(self) -> str:
        """The last part of ``token_id``."""
        return self.token_id.rpartition("!")[2]

    @property
    def caller(self) -> str:
        """Who calls, for messages: ``token USER@REALM!NAME`` or ``user USER@REALM``."""
        return f"token {self.account}!{self.token_name}" if self.token_id else f"user {self.account}"


def _place(text: str) -> tuple[str, int | None]:
    """Host and, if it is told, port."""
    if not text:
        return "", None
    if "@" in text.partition("://")[2]:  # there may be a password in it
        raise InputError(f"the Proxmox host has a user in it, expected {_EXPECTED_HOST}; give user or token_id instead")
    wrong = InputError(f"the Proxmox host is {shown(text)}, expected {_EXPECTED_HOST}")
    if text.count(":") > 1 and "[" not in text and "://" not in text:
        text = f"[{text}]"  # an address of IPv6
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme != "https":
        raise InputError(
            f"the Proxmox host is {shown(text)}, but its API is reached by https only; expected {_EXPECTED_HOST}"
        )
    # What follows # is where one is in the web interface.
    if parts.path.rstrip("/") not in ("", "/api2", "/api2/json") or parts.query or port == 0:
        raise wrong
    host = parts.netloc.rpartition(":")[0] if port else parts.netloc.rstrip(":")
    if not _HOST.fullmatch(host):
        raise wrong
    return host, port
