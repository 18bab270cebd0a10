"""Terminals on serial consoles: tickets, and the WebSocket over which they are read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import threading
import time
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from .guests import Guests

#: Real seconds for which a terminal waits for somebody, and for which its ticket counts.
WAITS, VALID = 10, 40
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
BANNER = "starting serial terminal on interface {serial}\r\n"


@dataclass
class Terminal:
    """A program that waits on a port for somebody with its ticket."""

    user: str
    vmid: int
    serial: str
    port: int
    ticket: str
    since: float = field(default_factory=time.monotonic)
    #: Somebody came; and went.
    taken: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """What its task does."""
        if self.taken.wait(WAITS):
            self.closed.wait()


class Consoles:
    """All terminals."""

    def __init__(self, guests: Guests) -> None:
        self._guests, self._key = guests, secrets.token_bytes(16)
        self._terminals: dict[int, Terminal] = {}
        self._lock = threading.Lock()

    def open(self, user: str, vmid: int, serial: str) -> Terminal:
        """A terminal on a free port."""
        with self._lock:
            for port in [port for port, one in self._terminals.items() if one.closed.is_set() or _stale(one)]:
                del self._terminals[port]
            port = next(port for port in range(5900, 6000) if port not in self._terminals)
            stamp = f"{int(time.time()):08X}"
            terminal = Terminal(user, vmid, serial, port, f"PVEVNC:{stamp}::{self._sign(user, vmid, stamp)}")
            self._terminals[port] = terminal
        return terminal

    def _sign(self, user: str, vmid: int, stamp: str) -> str:
        digest = hmac.new(self._key, f"{user}:/vms/{vmid}:{stamp}".encode(), hashlib.sha256)
        return base64.b64encode(digest.digest()).decode()

    def belongs(self, user: str, vmid: int, ticket: str) -> bool:
        """The ticket is this user's, for this VM, and not too old."""
        kind, _colon, rest = ticket.partition(":")
        stamp, _colons, signature = rest.partition("::")
        if kind != "PVEVNC" or not stamp.isalnum() or not 0 <= time.time() - int(stamp, 16) < VALID:
            return False
        return hmac.compare_digest(signature, self._sign(user, vmid, stamp))

    def serve(self, port: int, stream: Stream) -> None:
        """What the terminal on a port says to whom it lets in, until one of both ends."""
        terminal = self._terminals.get(port)
        if terminal is None or terminal.taken.is_set() or _stale(terminal):
            return
        terminal.taken.set()
        try:
            user, _colon, ticket = stream.line().rpartition(":PVEVNC:")
            if user != terminal.user or not self.belongs(user, terminal.vmid, f"PVEVNC:{ticket}"):
                return
            stream.send(b"OK")
            if not terminal.serial:
                stream.send(b"unable to find a serial interface\r\n")
                return
            self._speak(terminal, stream)
        finally:
            terminal.closed.set()

    def _speak(self, terminal: Terminal, stream: Stream) -> None:
        if not self._guests.running(terminal.vmid):
            stream.send(f"VM {terminal.vmid} not running\r\n".encode())
            return
        stream.send(BANNER.format(serial=terminal.serial).encode())
        for data in self._guests.console(terminal.vmid):
            if data:
                stream.send(data)
            if stream.gone(0.05):
                return


def _stale(terminal: Terminal) -> bool:
    return not terminal.taken.is_set() and time.monotonic() - terminal.since > WAITS


def accepted(key: str) -> str:
    """What the server answers to the key of a client."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


class Stream:
    """The server's end of a WebSocket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes, code: int = BINARY) -> None:
        """One message."""
        head = bytes([0x80 | code])
        head += bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        self._connection.sendall(head + data)

    def line(self) -> str:
        """The first message, without its line feed."""
        code, data = self._receive()
        return data.decode("utf-8", "replace").removesuffix("\n") if code != CLOSE else ""

    def gone(self, seconds: float) -> bool:
        """The client goes away within some seconds; what it types is of no interest."""
        self._connection.settimeout(seconds)
        try:
            code, data = self._receive()
        except TimeoutError:
            return False
        finally:
            self._connection.settimeout(WAITS)
        if code == PING:
            self.send(data, PONG)
        return code == CLOSE

    def _receive(self) -> tuple[int, bytes]:
        head = self._read(2)
        if len(head) < 2:
            return CLOSE, b""
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        mask = self._read(4)
        data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self._read(length)))
        return head[0] & 0x0F, data

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length and (more := self._connection.recv(length - len(data))):
            data += more
        return data
