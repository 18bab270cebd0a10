"""The files that descriptions of environments name: whether they are there, and where."""

from __future__ import annotations

import base64
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .errors import CLIENT, FILE, KadeployError

_TIMEOUT = 30
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Files:
    """Files of the server: those below ``files/`` of the state directory come before those of this computer."""

    def __init__(self, state: Path) -> None:
        self._root = state / "files"

    def check(self, uri: str, client: str) -> None:
        """Refuses a file that cannot be had.

        :param client: address at which the client of the call serves its own files
        """
        scheme, path = self._split(uri)
        if scheme == "server":
            self._on_server(path)
            return
        address = self._address(uri, client)
        try:
            _DIRECT.open(urllib.request.Request(address, method="HEAD"), timeout=_TIMEOUT).close()
        except urllib.error.HTTPError as error:
            raise KadeployError(FILE, f"Unable to get the checksum of {address} (http error #{error.code})") from error
        except OSError as error:
            raise KadeployError(FILE, f"Unable to get the checksum of {address} ({refused(address, error)})") from error

    def grab(self, uri: str, client: str, target: Path) -> Path:
        """A copy of a file, or the file itself."""
        scheme, path = self._split(uri)
        if scheme == "server":
            return self._on_server(path)
        try:
            with _DIRECT.open(self._address(uri, client), timeout=_TIMEOUT) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
        except OSError as error:
            raise KadeployError(FILE, f"Unable to grab the file {uri} ({error})") from error
        return target

    def _split(self, uri: str) -> tuple[str, str]:
        parts = urllib.parse.urlsplit(uri)
        scheme = parts.scheme or "local"
        if scheme not in ("local", "server", "http", "https"):
            raise KadeployError(FILE, f"Unable to grab the file '{uri}', unknown protocol {scheme}")
        return scheme, parts.path

    def _on_server(self, path: str) -> Path:
        for found in (self._root / path.lstrip("/"), Path(path)):
            if found.is_file():
                return found
        raise KadeployError(FILE, f"Unable to grab the file {path}")

    def _address(self, uri: str, client: str) -> str:
        scheme, path = self._split(uri)
        if scheme != "local":
            return uri
        if not client:
            why = (
                f"There is no way to retrieve {path} from the Kadeploy server. "
                "Consider using a server:// or a http:// URL"
            )
            raise KadeployError(CLIENT, why)
        return f"{client.rstrip('/')}/{base64.urlsafe_b64encode(path.encode()).decode()}"


def refused(address: str, error: OSError) -> str:
    """Why nobody answers, as Ruby says it."""
    parts = urllib.parse.urlsplit(address)
    reason = getattr(error, "reason", error)
    if isinstance(reason, ConnectionRefusedError):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        where = f"{parts.hostname}:{port}"
        why = f'Connection refused - connect(2) for "{parts.hostname}" port {port}'
        return f"Failed to open TCP connection to {where} ({why})"
    return str(reason)
