"""``serve``: the simulator as a program."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from . import (  # noqa: F401  (they register what answers the calls)  # pylint: disable=unused-import
    __version__,
    api_access,
    api_cluster,
    api_ha,
    api_pools,
    api_rights,
    api_storage,
    datacenter,
    storage_config,
    vm_agent,
    vm_bulk,
    vm_clone,
    vm_cloudinit,
    vm_console,
    vm_create,
    vm_migrate,
    vm_move,
    vm_snapshots,
    vm_suspend,
)
from .certificate import context
from .cluster import Cluster
from .options import Options
from .server import Server, run


def start(state: Path, port: int = 0, options: Options | None = None) -> Server:
    """A server that serves in a thread.

    :param port: 0 takes a free one
    """
    cluster = Cluster(state, options)
    server = Server(port, cluster, context(state, cluster.options.nodes))
    run(server)
    return server


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description="A stand-in for a Proxmox VE 9.2 cluster.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="directory of everything; options.json in it")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *dummy: stopped.set())
    server = start(arguments.state.resolve(), arguments.port)
    print(f"ready {server.url} {server.cluster.access.root_token}", flush=True)
    stopped.wait()
    server.shutdown()
