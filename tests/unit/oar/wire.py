# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers as was recorded, in the order in which it is asked, over a real socket."""

from __future__ import annotations

import base64
import json
import threading
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: What Apache says to whoever does not log in.
UNAUTHORIZED = "<!DOCTYPE HTML>\n<html><head>\n<title>401 Unauthorized</title>\n</head><body></body></html>\n"


@dataclass
class Answer:
    """One answer, and the request that it belongs to."""

    method: str
    path: str
    status: int
    body: t.Any
    #: How often it is given; then the next one of the same request comes.
    times: int = 1_000_000


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    body: t.Any
    user: str | None


@dataclass
class Server:
    """Answers, and what was asked."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def add(self, method: str, path: str, status: int, body: t.Any, times: int = 1_000_000) -> None:
        self.answers.append(Answer(method, path, status, body, times))

    def find(self, method: str, path: str) -> Answer | None:
        for answer in self.answers:
            if (answer.method, answer.path) == (method, path) and answer.times > 0:
                answer.times -= 1
                return answer
        return None

    def calls(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]


@contextmanager
def serve() -> t.Iterator[Server]:
    """The server, while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            word = self.headers.get("Authorization", "").partition(" ")[2]
            login = base64.b64decode(word).decode() if word else None
            server.asked.append(Asked(self.command, self.path, json.loads(data) if data else None, login))
            answer = server.find(self.command, self.path) or Answer("", "", 404, f"Cannot find resource {self.path}")
            status, body = answer.status, answer.body
            if login not in (None, "alice:secret"):
                status, body = 401, UNAUTHORIZED
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            kind = "text/plain" if isinstance(body, str) else "application/json"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: t.Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
