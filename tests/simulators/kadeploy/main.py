"""``serve``: the stand-in as a program."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path

from . import __version__
from .api import Api
from .machines import Machine
from .options import Options
from .server import Kadeploy
from .web import Server


def start(
    state: Path, port: int = 0, options: Options | None = None, machines: str = "none"
) -> tuple[Server, Kadeploy]:
    """A server that serves in threads.

    :param port: 0 takes a free one
    :param machines: ``none`` or ``nspawn``
    """
    chosen = options or Options.read(state)
    make = Machine
    if machines == "nspawn":
        from .containers import factory

        make = factory(state, chosen)
    kadeploy = Kadeploy(state, chosen, make)
    server = Server(port, Api(kadeploy), str(state / "access.log"))
    server.start()
    where = {"name": "simulated", "hostname": "127.0.0.1", "port": server.server_address[1], "secure": False}
    client = {"default": "simulated", "pace": chosen.pace, "servers": [where]}
    (state / "client.conf").write_text(json.dumps(client) + "\n")
    return server, kadeploy


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description="A stand-in for a Kadeploy 3 server.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of everything; options.json in it")
    help_text = "none: machines only pretend; nspawn: they boot what is deployed, as containers (needs root)"
    parser.add_argument("--machines", choices=("none", "nspawn"), default="none", help=help_text)
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_dummy: stopped.set())
    state = arguments.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    server, kadeploy = start(state, arguments.port, machines=arguments.machines)
    print(f"ready {server.url}", flush=True)
    stopped.wait()
    server.shutdown()
    kadeploy.stop()
