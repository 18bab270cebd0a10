# SPDX-License-Identifier: GPL-3.0-or-later
"""A load balancer of old: each request goes to the next of the backends that a directory has files for.

``proxy.py PORT BACKENDS OPEN``: a file in BACKENDS, named as one, holds its address and port. While a request is under
way there is a file NAME.NUMBER in OPEN, so that whoever takes a backend out can wait for the last one.
"""

from __future__ import annotations

import itertools
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, BACKENDS, OPEN = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
numbers = itertools.count()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        number = next(numbers)
        names = sorted(path.name for path in BACKENDS.iterdir())
        name = names[number % len(names)] if names else "nobody"
        mark = OPEN / f"{name}.{number}"
        mark.touch()
        try:
            # Only now: a backend that is gone since was taken out before the mark was there.
            address = (BACKENDS / name).read_text().strip()
            with urllib.request.urlopen(f"http://{address}{self.path}", timeout=10) as answer:
                self._answer(answer.status, answer.read())
        except FileNotFoundError:
            self.do_GET()
        except OSError as error:
            self._answer(502, f"{name}: {error}\n".encode())
        finally:
            mark.unlink()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
