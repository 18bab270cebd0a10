"""A stand-in for Kadeploy."""

from __future__ import annotations

import sys
import threading
import typing as t
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SIMULATORS = Path(__file__).resolve().parents[2] / "simulators"
sys.path.insert(0, str(SIMULATORS))

from g5k_api.main import start as start_site  # noqa: E402
from g5k_api.options import Options as SiteOptions  # noqa: E402
from kadeploy.main import start  # noqa: E402
from kadeploy.options import ClusterOptions, Options  # noqa: E402

Serve = t.Callable[..., t.Any]


@pytest.fixture
def serve(tmp_path: Path) -> t.Iterator[Serve]:
    """Starts servers with options; ``url`` is where one is."""
    running = []

    def begin(version: str = "3.3.11", **options: t.Any) -> t.Any:
        automaton = "classical" if version.startswith("3.3") else "grid5000"
        clusters = {"sim": ClusterOptions(["sim-[1-4]"], automaton)}
        chosen = {"version": version, "pace": 0.005, "clusters": clusters, "rights": {"alice": ["sim-[1-3]"]}}
        server, core = start(tmp_path / f"state{len(running)}", 0, Options(**{**chosen, **options}))
        core.url = server.url
        running.append((server, core))
        return core

    yield begin
    for server, core in running:
        server.shutdown()
        server.server_close()
        core.stop()


def start_api(state: Path, kadeploy: str, **options: t.Any) -> tuple[t.Any, t.Any]:
    """The API of a site over a Kadeploy."""
    server, api = start_site(state, kadeploy, 0, SiteOptions(pace=0.005, **options))
    return server, api


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_words: t.Any) -> None:
        pass


@contextmanager
def serve_files(directory: Path) -> t.Iterator[str]:
    """A web server: its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Handler(*args, directory=str(directory)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def web(tmp_path: Path) -> t.Iterator[str]:
    """Where a web server has the files of ``tmp_path``."""
    with serve_files(tmp_path) as address:
        yield address
