"""The HTTPS server: authentication, parameters, answers and errors as pveproxy gives them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
import typing as t
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from .calls import Call
from .cluster import Cluster
from .consoles import CLOSE, Stream, accepted
from .errors import ApiError, permission_error
from .parameters import decode_form, decode_json, vmids_of
from .uploads import Body, UploadError, receive

BASE = re.compile(r"/api2/+([a-z][a-z0-9]+)(/.*)?")
METHODS = ("GET", "POST", "PUT", "DELETE")
MAX_BODY = 512 * 1024
#: A refusal is lost, with a reset, where more than so much of the body has not been read: of any call, of an upload
#: whose beginning was read.
UNREAD = 64 * 1024
UNREAD_UPLOAD = 16 * 1024 * 1024
#: A connection that is kept alive is closed after so many seconds (real ones), or so many requests.
IDLE_SECONDS = 5
MAX_REQUESTS = 100
#: Simulated seconds after which the proxy gives up on a call; what it asked for is done nevertheless.
PROXY_SECONDS = 30
#: Seconds that a client may be silent within a request.
READ_SECONDS = 60
UNAUTHORIZED_SECONDS = 3
PUBLIC = {
    ("GET", "/access/domains"),
    ("GET", "/access/ticket"),
    ("POST", "/access/ticket"),
    ("POST", "/access/vncticket"),
    ("POST", "/access/openid/login"),
    ("POST", "/access/openid/auth-url"),
}
UPLOAD = re.compile(r"/nodes/([^/]+)/storage/([^/]+)/upload")


class Denied(Exception):
    """The caller is not known, or may not upload."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message.strip()


def _unexpected(failure: Exception) -> ApiError:
    traceback.print_exception(failure)
    return ApiError(f"simulator: {type(failure).__name__}: {failure}")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "pve-api-daemon/3.0"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def setup(self) -> None:
        """The TLS handshake belongs to the connection's thread."""
        self.requests = 0
        with contextlib.suppress(OSError):
            self.request.settimeout(10)
            self.request.do_handshake()
        super().setup()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Calls are written into ``access.log``, before they are answered."""
        now, seconds = datetime.now().isoformat(timespec="milliseconds"), time.monotonic() - self.began
        vms = "".join(f" vm={vmid}" for vmid in sorted(self.vmids))
        line = f'{now} "{self.requestline}" {code} {seconds:.3f} connection={self.client_address[1]}{vms}\n'
        os.write(self.server.log, line.encode())

    def log_message(self, format: str, *arguments: t.Any) -> None:
        """What is no call is of no interest."""

    def _method(self) -> None:
        self.requests += 1
        self.began, self.vmids = time.monotonic(), set[int]()
        self.connection.settimeout(READ_SECONDS)
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.body = Body(t.cast(t.BinaryIO, self.rfile), int(self.headers.get("Content-Length") or 0))
        base = BASE.fullmatch(path)
        try:
            if path.startswith("/control/"):
                self._control(path)
            elif self.command not in METHODS:
                self._refuse(501, f"method '{self.command}' not available", b"", unread=UNREAD)
            elif self.headers.get("Transfer-Encoding"):
                self._answer_encoding(self.headers["Transfer-Encoding"])
            elif base is None:
                self._answer_text(501, "no such uri")
            else:
                self._call((base[2] or "/").rstrip("/") or "/", split.query, base[1])
        except (BrokenPipeError, ssl.SSLError, TimeoutError):
            self.close_connection = True
        except ConnectionResetError:
            self.log_request("reset")
            self._reset()
        else:
            self.connection.settimeout(IDLE_SECONDS)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = _method

    def _answer_text(self, status: int, text: str) -> None:
        self._answer(status, text, text.encode())

    def _answer_encoding(self, encoding: str) -> None:
        """Only bodies of a known length are taken; what follows on the connection is not understood."""
        self.close_connection = True
        known = encoding.lower() == "chunked"
        if known:
            with contextlib.suppress(ValueError):  # a client that is still sending would not see the answer
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
        self._answer_text(
            501, "chunked transfer encoding not supported" if known else f"Unknown transfer encoding '{encoding}'"
        )

    def _call(self, path: str, query: str, output: str) -> None:
        verb = self.command
        upload = UPLOAD.fullmatch(path) if verb == "POST" else None
        try:
            user, token = self._authenticate(verb, path, upload)
        except Denied as error:
            self.server.cluster.clock.sleep(UNAUTHORIZED_SECONDS)
            self._refuse(error.status, error.message, b"", unread=UNREAD)
            return
        if output != "json":
            self._answer_text(501, f"no formatter for uri {path}, {output}")
            return
        try:
            stop_after = self._disturb(verb, path, ()) if upload else None
            parameters = self._parameters(query, upload, stop_after)
        except UploadError as error:
            self._refuse(error.status, error.message or "Bad Request", error.message.encode(), unread=UNREAD_UPLOAD)
            return
        except ValueError as error:
            self._answer_text(500, f"malformed JSON string: {error}")
            return
        except ApiError as error:
            self._drain()
            self._fail(error)
            return
        self._run(verb, path, parameters, user, token=token, disturbed=upload is not None)

    def _disturb(self, verb: str, path: str, vmids: t.Collection[int]) -> int | None:
        """What is to happen before a call; after how many bytes an upload breaks.

        :raises ApiError: the call fails
        :raises ConnectionResetError: the connection breaks
        """
        cluster = self.server.cluster
        for other in cluster.faults.wake(verb, path, vmids):
            with contextlib.suppress(ApiError):
                other_verb, other_path, parameters = other["do"]
                given = {key: str(value) for key, value in parameters.items()}
                cluster.handle(other_verb, other_path, given, "root@pam", token=False)
        slow = cluster.faults.call("delay", verb, path, vmids)
        if slow:
            cluster.clock.sleep(slow["seconds"])
        self._fault("http", verb, path, vmids, answer=None)
        reset = cluster.faults.call("reset", verb, path, vmids, answer=None)
        if reset and "bytes" not in reset:
            raise ConnectionResetError
        return int(reset["bytes"]) if reset else None

    def _fault(self, kind: str, verb: str, path: str, vmids: t.Collection[int], answer: bool | None) -> None:
        """Dies of a fault of a kind, where there is one."""
        fault = self.server.cluster.faults.call(kind, verb, path, vmids, answer=answer)
        if fault and kind == "reset":
            raise ConnectionResetError
        if fault:
            raise ApiError(fault.get("message", "simulated error"), int(fault.get("status", 500)))

    def _authenticate(self, verb: str, path: str, upload: re.Match[str] | None) -> tuple[str | None, bool]:
        """The user, and whether a token told so."""
        access = self.server.cluster.access
        header = self.headers.get("Authorization") or ""
        if (verb, path) in PUBLIC:
            return None, "PVEAPIToken" in header
        cookie = re.search(r"(?:^|;\s*)PVEAuthCookie=([^;]*)", self.headers.get("Cookie") or "")
        ticket = cookie[1] if cookie else header.partition("PVEAuthCookie=")[2]
        given = re.search(r"(?:^|\s)PVEAPIToken[= ]([^;]*)", header)
        try:
            if ticket:
                user = access.ticket(unquote(ticket))
            elif given:
                user = access.token(unquote(given[1]))
            else:
                raise Denied(401, "No ticket")
        except (ApiError, ValueError):
            raise Denied(401, "Authentication failed!") from None
        if upload and not access.may(user, f"/storage/{upload[2]}", ["Datastore.AllocateTemplate"]):
            told = permission_error(f"/storage/{upload[2]}, Datastore.AllocateTemplate")
            raise Denied(403, told.message)
        if ticket and verb != "GET" and not upload:
            try:
                access.check_csrf(user, self.headers.get("CSRFPreventionToken"))
            except ApiError as error:
                raise Denied(401, error.message) from None
        return user, not ticket

    def _parameters(self, query: str, upload: re.Match[str] | None, stop_after: int | None) -> dict[str, t.Any]:
        """Parameters of body and query."""
        kind = self.headers.get("Content-Type") or ""
        parameters: dict[str, t.Any] = {}
        if upload:
            boundary = re.search(r'multipart/form-data;.*?boundary="?([^";]+)"?', kind)
            if not boundary or not self.body.left:  # the daemon dies of it, and answers nothing
                raise TimeoutError
            self.close_connection = True
            parameters = receive(self.body, boundary[1].encode(), self.server.cluster.state / "tmp", stop_after)
        elif self.body.left:
            if self.command not in ("PUT", "POST"):
                raise UploadError(501, f"Unexpected content for method '{self.command}'")
            if self.body.left > MAX_BODY:
                self._drain()
                raise UploadError(501, "for data too large")
            plain = kind.partition(";")[0].strip().lower()
            if plain not in ("", "application/x-www-form-urlencoded", "application/json"):
                self._drain()
                raise UploadError(506, f"upload 'Content-Type '{kind}' not implemented")
            text = self.body.read(self.body.left).decode()
            parameters = decode_json(text) if kind.startswith("application/json") else decode_form(text)
        parameters.update(decode_form(query))
        parameters.pop("_dc", None)
        return parameters

    def _run(
        self, verb: str, path: str, parameters: dict[str, t.Any], user: str | None, *, token: bool, disturbed: bool
    ) -> None:
        cluster = self.server.cluster
        self.vmids = vmids_of(path, parameters)
        try:
            if not disturbed and self._disturb(verb, path, self.vmids) is not None:
                raise ConnectionResetError
            try:
                call, data = self._in_time(verb, lambda: cluster.handle(verb, path, parameters, user, token=token))
            finally:
                self._fault("reset", verb, path, self.vmids, answer=True)
                self._fault("http", verb, path, self.vmids, answer=True)
        except ConnectionError:
            raise
        except Exception as failure:  # a fault of the simulator must be seen, not cut the connection
            error = failure if isinstance(failure, ApiError) else _unexpected(failure)
            if error.status == 401:
                cluster.clock.sleep(UNAUTHORIZED_SECONDS)
            self._fail(error)
            return
        if path.endswith("/vncwebsocket") and "Sec-WebSocket-Key" in self.headers:
            self._upgrade(int(data["port"]))
            return
        total = {"total": call.total} if call.total else {}
        self._answer(200, "OK", json.dumps({"data": data, **total}).encode())

    def _upgrade(self, port: int) -> None:
        """The connection is a WebSocket from now on."""
        self.close_connection = True
        self.send_response(101, "Switching Protocols")
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "upgrade")
        self.send_header("Sec-WebSocket-Accept", accepted(self.headers["Sec-WebSocket-Key"]))
        self.send_header("Sec-WebSocket-Protocol", "binary")
        self.end_headers()
        self.wfile.flush()
        stream = Stream(self.connection)
        self.server.cluster.consoles.serve(port, stream)
        stream.send(b"", CLOSE)

    def _in_time(self, verb: str, work: t.Callable[[], tuple[Call, t.Any]]) -> tuple[Call, t.Any]:
        """What a call answers; one that takes longer than the proxy waits goes on, without a listener."""
        if verb == "GET":
            return work()
        clock, done, result = self.server.cluster.clock, threading.Event(), list[tuple[Call, t.Any]]()
        failure: list[BaseException] = []
        begin = [0.0]

        def worker() -> None:
            begin[0] = clock.slept(threading.get_ident())  # others had this number before
            try:
                result.append(work())
            except BaseException as error:  # it is raised where it is waited for
                failure.append(error)
            done.set()

        thread = threading.Thread(target=worker, daemon=True)
        thread.start()
        while not done.wait(max(0.02, clock.pace)):
            if clock.slept(thread.ident or 0) - begin[0] > PROXY_SECONDS:
                raise ApiError("Connection timed out", 596)
        if failure:
            raise failure[0]
        return result[0]

    def _fail(self, error: ApiError) -> None:
        if error.status >= 590:  # the proxy's own words
            self._answer(error.status, error.message.strip(), b"")
            return
        body = {"data": None, "message": error.message, **({"errors": error.errors} if error.errors else {})}
        self._answer(error.status, error.message, json.dumps(body).encode())

    def _answer(self, status: int, reason: str, body: bytes) -> None:
        reason = reason.partition("\n")[0]
        if "\r" in reason:
            status, reason, body = 400, "Bad Request", b""
        if status >= 400 or self.requests >= MAX_REQUESTS or self.body.left:
            self.close_connection = True
        self.send_response(status, reason.encode("latin-1", "replace").decode("latin-1"))
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _refuse(self, status: int, reason: str, body: bytes, unread: int) -> None:
        """Answer without having read the body, if the client is to see the answer."""
        if self.body.left > unread:
            raise ConnectionResetError
        self._drain()
        self.close_connection = True
        self._answer(status, reason, body)

    def _drain(self) -> None:
        while self.body.read(1 << 20):
            pass

    def _reset(self) -> None:
        """The connection breaks, without a farewell."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw = socket.socket(fileno=self.connection.detach())
            raw.close()

    def _control(self, path: str) -> None:
        """Faults are read and set; no part of the API."""
        faults = self.server.cluster.faults
        if path != "/control/faults":
            self._answer(404, "Not Found", b"")
            return
        try:
            if self.command in ("PUT", "POST"):
                new = json.loads(self.body.read(self.body.left) or b"[]")
                kept = faults.all() if self.command == "POST" else []
                faults.set([*kept, *(new if isinstance(new, list) else [new])])
            elif self.command == "DELETE":
                faults.set([])
        except (ValueError, AttributeError) as error:
            self._answer(400, "Bad Request", str(error).encode())
            return
        self._answer(200, "OK", json.dumps(faults.all()).encode())


class Server(ThreadingHTTPServer):
    """The server of all nodes, on the loopback interface."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, cluster: Cluster, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.cluster = cluster
        self.log = os.open(cluster.state / "access.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def server_close(self) -> None:
        """Ends what goes on beside the calls, too."""
        super().server_close()
        self.cluster.closed.set()

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away is no error."""
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handle_error(request, client_address)


def run(server: Server) -> threading.Thread:
    """Serves in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    return thread
