"""Servers that are slow, silent, or never come to an end, over real sockets."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.nodes import connection as module
from ansible_collections.immutable.compose.plugins.module_utils.nodes import dial, shell
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import (
    Connection,
    GivenUp,
    SSHError,
)
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.shell import TooMuchOutput
from ansible_collections.immutable.compose.plugins.module_utils.nodes.turns import Turns

from .conftest import Server


class Slow:
    """Passes connections on to a server, each after so many seconds; knows when they came, and how many at once."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.seconds = port, seconds
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint("127.0.0.1", self.listener.getsockname()[1])
        self.attempts: list[float] = []
        self.open = self.most = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self.listener.accept()
                self.attempts.append(time.monotonic())
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        client.settimeout(self.seconds)
        with client, suppress(OSError):
            try:
                if not client.recv(1, socket.MSG_PEEK):
                    return  # gave up
            except TimeoutError:
                pass
            finally:
                self.open -= 1
            client.settimeout(None)
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                threading.Thread(target=_pump, args=(client, server), daemon=True).start()
                _pump(server, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


@contextmanager
def slow(server: Server, seconds: float) -> Iterator[Slow]:
    found = Slow(server.port, seconds)
    try:
        yield found
    finally:
        found.listener.close()


@contextmanager
def opened(server: Server, endpoint: Endpoint) -> Iterator[Connection]:
    connection = server.connection(endpoint)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What are five seconds otherwise."""
    monkeypatch.setattr(module, "CONNECT", 0.2)
    monkeypatch.setattr(dial, "CONNECT", 0.2)


# A client speaks first, too (RFC 4253): here the collection waits for the server, so the peek above sees only its end.


@pytest.mark.usefixtures("short")
def test_slow_banner_is_waited_for_in_one_attempt(server: Server) -> None:
    with slow(server, 3) as node, opened(server, node.endpoint) as connection:
        connection.open(60)
        assert connection.run("echo here").stdout == b"here\n"
        assert len(node.attempts) == 1


@pytest.mark.usefixtures("short")
def test_attempts_through_a_forwarder_last_longer_and_longer(server: Server) -> None:
    """One that accepted before the node was there may never lead to it."""
    with slow(server, 2) as node:
        endpoint = Endpoint(node.endpoint.host, node.endpoint.port, forwarded=True)
        with opened(server, endpoint) as connection:
            connection.open(60)
            assert connection.run("echo here").stdout == b"here\n"
        # 0.2, 0.4, 0.8, 1.6 and 3.2 seconds
        assert len(node.attempts) == 5 and node.most == 1
        gaps = [after - before for before, after in itertools.pairwise(node.attempts)]
        assert gaps == sorted(gaps) and gaps[-1] > 1.6


@pytest.mark.usefixtures("short")
def test_a_forwarder_that_loses_the_first_connection(server: Server) -> None:
    with slow(server, 600) as node:
        endpoint = Endpoint(node.endpoint.host, node.endpoint.port, forwarded=True)
        threading.Timer(1, lambda: setattr(node, "seconds", 0.05)).start()
        with opened(server, endpoint) as connection:
            start = time.monotonic()
            connection.open(60)
            assert time.monotonic() - start < 10


def test_the_deadline_holds_while_a_server_is_silent(server: Server) -> None:
    with slow(server, 600) as node, opened(server, node.endpoint) as connection:
        start = time.monotonic()
        with pytest.raises(SSHError, match="no SSH connection within 6 s; last error: the server said nothing for"):
            connection.open(6)
        assert time.monotonic() - start < 12


def test_giving_up_ends_the_wait_at_once(server: Server) -> None:
    with slow(server, 600) as node, opened(server, node.endpoint) as connection:
        threading.Timer(0.5, connection.give_up, ["it has ended"]).start()
        start = time.monotonic()
        with pytest.raises(GivenUp, match="it has ended"):
            connection.open(500)
        assert time.monotonic() - start < 20
        with pytest.raises(GivenUp, match="it has ended"):
            connection.run("true")


def test_giving_up_ends_a_command_and_attempts_that_are_refused(server: Server) -> None:
    with opened(server, server.endpoint) as connection:
        connection.open(60)
        threading.Timer(0.5, connection.give_up, ["it has ended"]).start()
        with pytest.raises(GivenUp, match="it has ended"):
            connection.run("sleep 500")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with opened(server, Endpoint("127.0.0.1", port)) as connection:
        threading.Timer(0.5, connection.give_up, ["it has ended"]).start()
        with pytest.raises(GivenUp, match="it has ended"):
            connection.open(500)


def test_slow_nodes_do_not_hold_up_others(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """All turns for a key exchange are taken by nodes that do not go on."""
    monkeypatch.setattr(module, "_turns", Turns(1, 0.2))
    with module._turns.taken(), opened(server, server.endpoint) as connection:
        connection.open(60)
        assert connection.run("echo here").stdout == b"here\n"


@pytest.mark.parametrize("flood", ["while :; do printf x; sleep 0.1; done", "tr '\\\\0' x </dev/zero"])
def test_login_shell_that_never_gets_to_an_end(server: Server, monkeypatch: pytest.MonkeyPatch, flood: str) -> None:
    monkeypatch.setattr(module, "HANDSHAKE", 2.0)
    monkeypatch.setattr(shell, "_LOOP", flood)
    with opened(server, server.endpoint) as connection:
        start = time.monotonic()
        with pytest.raises(SSHError, match="login shell"):
            connection.open(4)
        assert time.monotonic() - start < 30


def test_answer_without_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "ANSWER", 1 << 20)
    with opened(server, server.endpoint) as connection:
        with pytest.raises(TooMuchOutput, match="wrote more than 1 MiB; write its output to a file: yes"):
            connection.run("yes | head -c 3000000", 60)
        assert connection.run("echo usable", 60).stdout == b"usable\n"
        with pytest.raises(TooMuchOutput):
            connection.feed("yes", b"", 60)
        with pytest.raises(SSHError, match="the answer did not end in time"):
            connection.feed("while :; do echo x; sleep 0.1; done", b"", 1)
        assert connection.run("echo usable", 60).stdout == b"usable\n"
