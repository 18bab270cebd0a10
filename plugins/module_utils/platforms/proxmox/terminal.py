# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The serial console of a VM as it speaks: what ``termproxy`` and ``vncwebsocket`` of the API give. PRIVATE.

The first call starts a terminal beside the VM and gives a ticket for it, good for some seconds; the second one is a
WebSocket to that. ``USER:TICKET`` and a line feed let one in, which ``OK`` says; then comes what the console says.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import typing as t
from contextlib import contextmanager
from urllib.parse import unquote, urlencode, urlsplit

try:
    import requests
    import urllib3
    import websocket
    from urllib3.util import ssl_

    HAS_WEBSOCKET = True
except ImportError:
    HAS_WEBSOCKET = False

from ...errors import ComposeError
from ...libraries import missing_library
from ...model.answer import answer
from .answers import Terminal
from .client import Client, ProxmoxError
from .vm import Vm

#: The port of the VM that is read.
PORT = "serial0"
#: Seconds for a connection, and for being let in.
CONNECT = 10.0
#: Seconds without a word after which the reader gets a turn; and after which the server is told that it is listened to.
TURN, KEEP_ALIVE = 1.0, 20.0
_FORBIDDEN = 403
#: What the terminal itself says first.
_BANNER = b"starting serial terminal on interface"


class NoConsole(ComposeError):
    """A VM has no console that could be read, and will not have one in a moment."""


@contextmanager
def console(vm: Vm) -> t.Iterator[t.Iterator[bytes]]:
    """What a VM says from now on; nothing (``b""``) each time that it has said nothing for a while.

    :raises NoConsole: it has none, or the account may not see it.
    :raises ComposeError: it cannot be had now.
    """
    if not HAS_WEBSOCKET:
        raise missing_library("websocket", "requests", what="the console of VMs of the platform 'proxmox'")
    client = vm.cluster.client
    if not vm.running_config().get(PORT):
        raise NoConsole(f"VM {vm.vmid} has no serial port (as root on {vm.node}: qm set {vm.vmid} --{PORT} socket)")
    try:
        told = answer(Terminal, vm.call("POST", "/termproxy", serial=PORT), f"Proxmox: console of VM {vm.vmid}")
    except ProxmoxError as error:
        if error.status == _FORBIDDEN:
            raise NoConsole(f"{client.access.caller} lacks VM.Console on /vms/{vm.vmid}") from None
        raise
    query = urlencode({"port": told.port, "vncticket": told.ticket})
    path = f"/api2/json/nodes/{vm.node}/qemu/{vm.vmid}/vncwebsocket?{query}"
    try:
        stream = _connected(client, path)
        try:
            stream.send_binary(f"{told.user}:{told.ticket}\n".encode())
            yield _said(stream)
        finally:
            stream.close(timeout=1)
    except websocket.WebSocketBadStatusException as error:  # its words have all headers
        raise ComposeError(f"the console of VM {vm.vmid} was refused: {error.status_code}") from None
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, websocket.WebSocketException) as error:
        raise ComposeError(f"the connection to the console of VM {vm.vmid} broke: {error}") from None


def _said(stream: t.Any) -> t.Iterator[bytes]:
    greeting, begin, heard = b"", time.monotonic(), time.monotonic()
    let_in = False
    while True:
        try:
            code, data = stream.recv_data()
        except websocket.WebSocketTimeoutException:
            code, data = websocket.ABNF.OPCODE_BINARY, b""
        except websocket.WebSocketConnectionClosedException:
            return
        if code == websocket.ABNF.OPCODE_CLOSE:
            return
        if not let_in:
            greeting += data
            if greeting[:2] == b"OK":
                let_in, data = True, greeting[2:]
            elif len(greeting) >= 2 or time.monotonic() - begin > CONNECT:
                raise websocket.WebSocketException("the ticket was not accepted")
            else:
                continue
        if data.lstrip().startswith(_BANNER):
            data = data.partition(b"\n")[2]
        if time.monotonic() - heard > KEEP_ALIVE:
            stream.send_binary(b"2")
            heard = time.monotonic()
        yield data


def _connected(client: Client, path: str) -> t.Any:
    """A WebSocket, over a connection that is verified as those of all other calls are."""
    access = client.access
    place = f"{access.host}:{access.port}"
    settings = requests.Session().merge_environment_settings(f"https://{place}", {}, None, access.ca_file or True, None)
    proxy = requests.utils.select_proxy(f"https://{place}", settings["proxies"])
    context = _context(settings["verify"], pinned=bool(access.fingerprint))
    if proxy:
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if through.scheme != "http":
            raise NoConsole(f"consoles cannot be read through a proxy by {through.scheme}")
        line = http.client.HTTPSConnection(through.hostname or "", through.port or 80, timeout=CONNECT, context=context)
        login = f"{unquote(through.username or '')}:{unquote(through.password or '')}"
        line.set_tunnel(
            access.host, access.port, urllib3.make_headers(proxy_basic_auth=login) if through.username else {}
        )
    else:
        line = http.client.HTTPSConnection(access.host, access.port, timeout=CONNECT, context=context)
    line.connect()
    try:
        if access.fingerprint:  # before anything secret is said
            ssl_.assert_fingerprint(line.sock.getpeercert(binary_form=True), access.fingerprint)
        stream = websocket.create_connection(
            f"wss://{place}{path}",
            timeout=CONNECT,
            socket=line.sock,
            header=client.identification(),
            subprotocols=["binary"],
            redirect_limit=0,
        )
    except BaseException:
        line.close()
        raise
    stream.settimeout(TURN)
    return stream


def _context(verify: bool | str, *, pinned: bool) -> ssl.SSLContext:
    context = ssl_.create_urllib3_context()
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    authorities = verify if isinstance(verify, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    if os.path.isdir(authorities):
        context.load_verify_locations(capath=authorities)
    else:
        context.load_verify_locations(cafile=authorities)
    return context
