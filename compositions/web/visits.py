"""Answers every GET with the number of visits so far, which a Redis database on the host "database" keeps."""

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def count_visit() -> int:
    """One more visit; the Redis protocol needs no library for this."""
    with socket.create_connection(("database", 6379), timeout=5) as connection:
        connection.sendall(b"INCR visits\r\n")
        answer = connection.recv(64).decode()
    if not answer.startswith(":"):
        raise OSError(f"unexpected answer of the database: {answer!r}")
    return int(answer[1:])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            status, answer = 200, {"backend": socket.gethostname(), "visits": count_visit()}
        except OSError as error:
            status, answer = 503, {"backend": socket.gethostname(), "error": str(error)}
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
