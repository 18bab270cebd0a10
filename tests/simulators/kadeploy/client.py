"""What the commands have in common: the server of ``client.conf``, and errors as Kadeploy's client tells them."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import threading
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from .descriptions import check
from .errors import TEXTS, KadeployError
from .options_parser import Option

Json = dict[str, t.Any]

COMMON = (
    Option("version", ("-v", "--version")),
    Option("multi", ("-M", "--multi-server")),
    Option("server", ("-S", "--server"), "yes"),
    Option("dry_run", ("--[no-]dry-run",)),
    Option("http", ("-H", "--[no-]debug-http")),
    Option("password", ("--password",), "maybe"),
)
NODES = (
    Option("machine[]", ("-m", "--machine"), "yes"),
    Option("file[]", ("-f", "--file"), "yes"),
)
#: name[@user][:version][%arch], of Kadeploy 3.9 and later.
REFERENCE = re.compile(r"^(?P<name>[-_.\w]+)(?:@(?P<user>[_.\w]+))?(?::(?P<version>[_.\w]+))?(?:%(?P<arch>[_.\w]+))?$")


class Failure(Exception):
    """A command ends: what it says on standard error, and its exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Connection:
    """The server of ``$KADEPLOY3_CONFIG_DIR/client.conf``.

    :param name: of the server there; the default one if empty
    """

    def __init__(self, name: str = "", password: str = "") -> None:
        path = os.path.join(os.environ.get("KADEPLOY3_CONFIG_DIR", "/etc/kadeploy3"), "client.conf")
        try:
            with open(path, encoding="utf-8") as file:
                configuration = yaml.safe_load(file)
        except FileNotFoundError:
            raise Failure(f"File not found '{path}'") from None
        servers = {server["name"]: server for server in configuration["servers"]}
        name = name or configuration["default"]
        if name not in servers:
            raise Failure(f"The server '{name}' does not exist")
        server = servers[name]
        scheme = "https" if server.get("secure", True) else "http"
        self.url = f"{scheme}://{server['hostname']}:{server['port']}"
        self.pace = float(configuration.get("pace", 1))
        self.user = os.environ.get("USER") or os.environ.get("USERNAME") or os.environ.get("LOGNAME") or "root"
        self._password = password
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            self.version = self.text("GET", "/version").strip()
        except Failure:
            raise Failure(f"The {server['hostname']} server is unreachable") from None
        self.modern = tuple(int(part) for part in self.version.split(".")[:2]) >= (3, 9)

    def text(self, method: str, path: str, body: Json | None = None, accept: str = "application/json") -> str:
        """What a call answers."""
        headers = {"Accept": accept, "X-Kadeploy-User": self.user}
        if self._password:
            token = base64.b64encode(f"{self.user}:{self._password}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        plain = path.split("?")[0]
        try:
            with self._opener.open(request, timeout=120) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()
            code = error.headers.get("X-Application-Error-Code")
            if error.code == 400 and code:
                raise Failure(f"{said}\n[Kadeploy Error #{code}]", int(code)) from None
            if error.code == 404:
                raise Failure(f"Resource not found {plain}") from None
            if error.code == 500:
                raise Failure(f"[Internal Server Error]\n{said}", 3) from None
            raise Failure(f"{said}\n[HTTP Error #{error.code} on {method} {path}]", 2) from None
        except OSError as error:
            raise Failure(f"Invalid request on {self.url.split('//')[1]} ({error})") from None

    def call(self, method: str, path: str, body: Json | None = None) -> t.Any:
        """What a call answers, read."""
        text = self.text(method, path, body)
        return json.loads(text) if text[:1] in ("{", "[") else text

    def find_environments(self, **wanted: t.Any) -> list[Json]:
        """Environments by name, owner, version."""
        query = {key: value for key, value in wanted.items() if value not in (None, "", False)}
        if "version" not in query and "last" not in query:
            query["last"] = "true"
        found: list[Json] = self.call("GET", f"/environments?{urllib.parse.urlencode(query)}")
        return found


def choose(found: list[Json], user: str, owner: str) -> list[Json]:
    """One's own come first, where nobody is named."""
    own = [environment for environment in found if environment["user"] == user]
    return own if own and not owner else found


def read_lines(path: str) -> list[str]:
    """Names in a file, or in standard input."""
    if path == "-":
        text = sys.stdin.read()
    else:
        try:
            text = Path(path).read_text()
        except OSError:
            raise Failure(f"The file {path} cannot be read") from None
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def read_description(source: str, modern: bool) -> Json:
    """A description of an environment in a file or at an address; says which fields are ignored."""
    if urllib.parse.urlsplit(source).scheme in ("http", "https"):
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(source, timeout=30) as answer:
            text = answer.read().decode()
    else:
        path = Path(source.removeprefix("server://")).absolute()
        if not path.is_file():
            raise Failure(f"Unable to grab the file {path}")
        text = path.read_text()
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.context_mark or error.problem_mark
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        why = f"({source}): {error.problem} {error.context or ''}{where}"
        raise Failure(f"Invalid YAML file '{source}'\n{why}") from None
    try:
        _description, unused = check(found, modern=modern, files=None)
    except KadeployError as error:
        raise Failure(f"{TEXTS[error.code]} (error #{error.code})\n{error.message}") from None
    for name in unused:
        print(f"Warning[env_desc]: Unused field '{name}'")
    return dict(found)


class Export:
    """Files of the client that it serves itself while the command runs."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._server: ThreadingHTTPServer | None = None

    def local(self, name: str) -> str:
        """The name of a file; an absolute one, and served, if it is one of the client's."""
        parts = urllib.parse.urlsplit(name)
        if parts.scheme not in ("", "local"):
            return name
        path = Path(parts.path).absolute()
        if not os.access(path, os.R_OK):
            raise Failure(f"Cannot read file '{path}'")
        self._files["/" + base64.urlsafe_b64encode(str(path).encode()).decode()] = path
        return str(path)

    def description(self, about: Json) -> Json:
        """A description with the names of all its files."""
        about = {**about, "image": {**about["image"], "file": self.local(about["image"]["file"])}}
        if about.get("preinstall"):
            about["preinstall"] = {**about["preinstall"], "archive": self.local(about["preinstall"]["archive"])}
        posts = about.get("postinstalls") or []
        if posts:
            about["postinstalls"] = [{**post, "archive": self.local(post["archive"])} for post in posts]
        return about

    def begin(self) -> str:
        """The address, if there is anything to serve."""
        if not self._files:
            return ""
        files = self._files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = files.get(self.path)
                if path is None:
                    self.send_error(404)
                    return
                stat = path.stat()
                self.send_response(200)
                self.send_header("Content-Length", str(stat.st_size))
                self.send_header("ETag", f'"{stat.st_ino:x}-{stat.st_size:x}-{int(stat.st_mtime):x}"')
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(path.read_bytes())

            do_HEAD = do_GET

            def log_message(self, format: str, *args: t.Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __bool__(self) -> bool:
        return bool(self._files)

    def names(self) -> list[str]:
        return [str(path) for path in self._files.values()]
