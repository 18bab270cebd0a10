# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of Proxmox VE: one login, kept connections, errors in the server's own words. PRIVATE to the collection.

What the calls are and how they fail: https://pve.proxmox.com/pve-docs/api-viewer/.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import time
import typing as t
from urllib.parse import quote

try:
    import proxmoxer
    import requests
    from requests_toolbelt.adapters.fingerprint import FingerprintAdapter

    HAS_PROXMOXER = True

    class _Pinned(FingerprintAdapter):
        """Demands a certificate by its fingerprint, also of a server that is reached through a proxy."""

        def proxy_manager_for(self, proxy: str, **kwargs: t.Any) -> t.Any:
            return super().proxy_manager_for(proxy, assert_fingerprint=self.fingerprint, **kwargs)

except ImportError:
    HAS_PROXMOXER = False

from ...errors import ComposeError, brief
from ...libraries import missing_library
from ...model.answer import answer
from ...temporary import TemporaryDirectory
from .access import Access

Params = t.Mapping[str, t.Any]
T = t.TypeVar("T")

#: Seconds that the server may be silent. It gives up on another node after 30.
SILENCE = 60
#: Seconds within which a call is tried anew that failed for a reason that passes.
PATIENCE = 45
#: Seconds before the second try; the pauses double from there on.
_PAUSE = 0.25
#: Words of errors that pass: somebody else holds a lock, or the server has no free worker.
_PASSING = ("got timeout", "lock request timeout", "can't lock file", "got no worker upid", "Too many requests")
TAGS_RESTRICTED = (
    "the datacenter restricts which tags may be set: user-tag-access. VMs of deployments have tags that begin with "
    "compose. and image-; set user-allow to free, or give Sys.Modify on /"
)
#: Status codes with which a node says that it could not reach another one, or had no answer from it; the call may have
#: had an effect then (from AnyEvent::HTTP).
_UNREACHED = 595
_UNANSWERED = (596, 597, 599)


class Refusal(ComposeError):
    """Proxmox would not do something, at once or in a task.

    :param text: the server's words.
    """

    def __init__(self, message: str, text: str) -> None:
        # Which tag is not always told, nor who says so.
        super().__init__(brief(f"{message} ({TAGS_RESTRICTED})" if "for modifying tag" in text else message))
        self.text = text

    @property
    def passing(self) -> bool:
        """The same may be granted in a moment."""
        return any(words in self.text for words in _PASSING)

    @property
    def stale(self) -> bool:
        """The configuration was changed since it was read."""
        return "file change by other user" in self.text or "file changed by other user" in self.text

    @property
    def locked(self) -> bool:
        """Something else is being done to the VM."""
        return "VM is locked" in self.text


class ProxmoxError(Refusal):
    """The server refused a call.

    :param status: HTTP status; nearly every refusal is 500.
    """

    def __init__(self, verb: str, path: str, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"Proxmox refused {verb} {path}: {status} {text}", text)

    @property
    def missing(self) -> bool:
        """The VM is not on that node (any more)."""
        return "Configuration file" in self.text and "does not exist" in self.text


class LostAnswer(ComposeError):
    """The connection broke: the call may have had an effect or none."""


class Client:
    """Calls, from several threads at once.

    :param parallel: calls at the same time.
    """

    def __init__(self, access: Access, parallel: int = 8) -> None:
        if not HAS_PROXMOXER:
            raise missing_library("proxmoxer", "requests", "requests_toolbelt", what="the platform 'proxmox'")
        access.check()
        self.access = access
        self._slots = threading.Semaphore(parallel)
        self._begun = threading.Lock()
        self._parallel = parallel
        self._api: t.Any = None

    def _connected(self) -> t.Any:
        with self._begun:
            if self._api is None:
                self._api = self._connect()
        return self._api

    def _connect(self) -> t.Any:
        access = self.access
        if access.token_id:
            how = {"token_name": access.token_name, "token_value": access.token_secret}
        else:
            how = {"password": access.password}
        verify: bool | str = not access.fingerprint and (access.ca_file or True)
        try:
            api = proxmoxer.ProxmoxAPI(
                access.host, port=access.port, user=access.account, verify_ssl=verify, timeout=SILENCE, **how
            )
        except proxmoxer.AuthenticationError:
            raise ComposeError(f"Proxmox at {access.host}: user {access.account!r} or its password is wrong") from None
        except requests.exceptions.RequestException as error:
            raise self._unreachable(error) from None
        session = api._store["session"]  # proxmoxer has no other way to it
        if access.fingerprint:
            adapter: requests.adapters.HTTPAdapter = _Pinned(access.fingerprint, pool_maxsize=self._parallel)
        else:
            adapter = requests.adapters.HTTPAdapter(pool_maxsize=self._parallel)
        session.mount("https://", adapter)
        return api

    def identification(self) -> dict[str, str]:
        """The header with which a connection of another kind says who calls; a secret."""
        access = self.access
        if access.token_id:
            return {"Authorization": f"PVEAPIToken={access.account}!{access.token_name}={access.token_secret}"}
        ticket, _csrf = self._connected().get_tokens()
        return {"Cookie": f"PVEAuthCookie={quote(ticket, safe='')}"}

    def call(self, verb: str, path: str, /, **params: t.Any) -> t.Any:
        """The data of the answer.

        A call that failed for a reason that passes is made again; so is one that only reads, whatever broke.

        :param path: below ``/api2/json``.
        :param params: those that are ``None`` are left out; for names with a dash use ``**{…}``.
        :raises ProxmoxError: the server refused.
        :raises LostAnswer: nobody knows whether the call had an effect.
        """
        end = time.monotonic() + PATIENCE
        pause = _PAUSE
        for attempt in range(1, 1000):
            try:
                return self._once(verb, path, params)
            except ProxmoxError as error:
                reading = verb == "GET" and error.status >= 500 and not error.missing and attempt < 4
                if not (error.passing or reading or (error.status == _UNREACHED and attempt < 4)):
                    raise
                if time.monotonic() + pause > end:
                    raise
            except LostAnswer:
                if verb != "GET" or attempt >= 4:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 4)
        raise AssertionError("not reached")

    def get(self, type_: type[T], path: str, /, **params: t.Any) -> T:
        """:meth:`call` with GET, as a type of answers.py. :raises WrongAnswer: it is none."""
        return answer(type_, self.call("GET", path, **params), f"Proxmox: GET {path}")

    def _once(self, verb: str, path: str, params: Params) -> t.Any:
        api = self._connected()
        try:
            with self._slots:
                return getattr(api(path.strip("/")), verb.lower())(**params)
        except proxmoxer.ResourceException as error:
            words = [str(error.content or error.status_message).strip()]
            if isinstance(error.errors, dict):
                words += [f"{key}: {str(value).strip()}" for key, value in error.errors.items()]
            if error.status_code == 401:
                words.append(f"(as {self.access.caller})")
            refused = ProxmoxError(verb, path, error.status_code, " ".join(words))
            raise LostAnswer(refused.message) if error.status_code in _UNANSWERED else refused from None
        except proxmoxer.AuthenticationError:  # the ticket was to be renewed
            raise ComposeError(
                f"Proxmox at {self.access.host} does not let {self.access.account!r} in any more"
            ) from None
        except requests.exceptions.RequestException as error:
            raise self._unreachable(error, f"{verb} {path}") from None

    def _unreachable(self, error: Exception, what: str = "login") -> ComposeError:
        where = f"{self.access.host}, port {self.access.port}"
        proxy = _proxy_for(f"https://{self.access.host}:{self.access.port}")
        if proxy:
            where += (
                f", through the proxy {proxy} (HTTPS_PROXY or ALL_PROXY in the environment of {platform.node()}; hosts "
                "in NO_PROXY are reached without)"
            )
        if "CERTIFICATE_VERIFY_FAILED" in str(error) or "ingerprint" in str(error):
            return ComposeError(
                f"the certificate of Proxmox at {where} is not trusted; give the cluster's authority as ca_file "
                f"(/etc/pve/pve-root-ca.pem on a node), or the certificate's fingerprint: {error}"
            )
        return LostAnswer(f"the connection to Proxmox at {where} broke ({what}): {error}")

    def upload(self, node: str, storage: str, name: str, path: str) -> str:
        """Send a file as content ``import``; the task that checks its sum and puts it into place.

        :param path: of the file here.
        """
        with open(path, "rb") as stream:
            digest = hashlib.sha256()
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
        with TemporaryDirectory("upload") as directory:
            link = os.path.join(directory, name)  # the library sends the file's own name
            os.symlink(os.path.abspath(path), link)
            with open(link, "rb") as stream:
                # The server looks for these in this order.
                fields = {
                    "content": "import",
                    "checksum-algorithm": "sha256",
                    "checksum": digest.hexdigest(),
                    "filename": stream,
                }
                return str(self._once("POST", f"/nodes/{node}/storage/{storage}/upload", fields))


def _proxy_for(url: str) -> str:
    """The proxy through which the environment has a server reached, without a password; empty for none."""
    proxy: str = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or ""
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else proxy.rpartition("@")[2]
