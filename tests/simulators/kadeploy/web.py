"""A small HTTP server on the loopback interface: both stand-ins use it."""

from __future__ import annotations

import socket
import threading
import time
import typing as t
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Largest body that is read, in bytes.
LARGEST = 64 << 20


@dataclass
class Request:
    """A call."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: t.Mapping[str, str]
    body: bytes


@dataclass
class Answer:
    """What is answered; ``None`` as status drops the connection."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Answers = t.Callable[[Request], Answer]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):
            super().handle_one_request()

    def _answer(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        length = min(int(self.headers.get("Content-Length") or 0), LARGEST)
        query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        path = urllib.parse.unquote(parts.path)
        request = Request(self.command, path, query, self.headers, self.rfile.read(length))
        began = time.monotonic()
        answer = self.server.answers(request)
        self.server.log(f'"{self.command} {self.path}" {answer.status} {time.monotonic() - began:.3f}')
        if answer.status is None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response_only(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

    def log_message(self, format: str, *args: t.Any) -> None:
        """Said in ``access.log`` instead."""


class Server(ThreadingHTTPServer):
    """Serves in threads.

    :param port: 0 takes a free one
    :param log_file: a line for each call goes there
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, answers: Answers, log_file: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answers = answers
        self._log_file = log_file
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def log(self, line: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S")
        with self._lock, open(self._log_file, "a", encoding="utf-8") as file:
            file.write(f"{now} {line}\n")

    def start(self) -> None:
        """Serves from now on, in a thread."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
