"""``serve``: the stand-in as a program."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from kadeploy.web import Answer, Server

from . import __version__
from .api import Api
from .options import Options


def start(state: Path, kadeploy: str, port: int = 0, options: Options | None = None) -> tuple[Server, Api]:
    """A server that serves in threads.

    :param kadeploy: address of Kadeploy's REST interface
    :param port: 0 takes a free one
    """
    state.mkdir(parents=True, exist_ok=True)
    server = Server(port, lambda _request: Answer(503), str(state / "access.log"))
    api = Api(state, options or Options.read(state), kadeploy, server.url)
    server.answers = api
    server.start()
    return server, api


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description="A stand-in for the API of Grid'5000.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of everything; options.json in it")
    parser.add_argument("--kadeploy", required=True, help="address of Kadeploy's REST interface")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_dummy: stopped.set())
    server, api = start(arguments.state.resolve(), arguments.kadeploy, arguments.port)
    print(f"ready {server.url}", flush=True)
    stopped.wait()
    server.shutdown()
    api.jobs.stop()
