"""Network namespaces, real ones."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.netns import BRIDGE, Namespace


def links(namespace: str) -> dict[str, dict[str, t.Any]]:
    """Name → interface in a namespace."""
    command = ["ip", "-n", namespace, "-json", "-details", "link", "show"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {link["ifname"]: link for link in listed}


def neighbours(path: str) -> dict[str, str]:
    """Address → hardware address, of those that answered on the interface of a node."""
    for _attempt in range(100):
        command = ["ip", "-n", os.path.basename(path), "-json", "neighbour", "show"]
        listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        answered = {entry["dst"]: entry["lladdr"] for entry in listed if "lladdr" in entry}
        if answered:
            return answered
        time.sleep(0.05)
    return {}


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    namespace = Namespace("lab", str(tmp_path))
    namespace.create("10.87.0.0/16")
    yield namespace
    namespace.detach("node1")
    namespace.detach("node2")
    namespace.remove()
    assert not [name for name in os.listdir("/run/netns") if name.startswith(namespace.name)]


def ports(namespace: Namespace) -> list[str]:
    return [name for name, link in links(namespace.name).items() if link.get("master") == BRIDGE]


def test_nodes_are_on_one_bridge(namespace: Namespace) -> None:
    paths = [namespace.attach(node) for node in ("node1", "node2")]
    for path in paths:
        assert set(links(os.path.basename(path))) == {"lo", "host0"}
    assert len(ports(namespace)) == 2
    for number, path in enumerate(paths, 1):
        settings = f"address add 10.87.0.{number}/16 dev host0\nlink set host0 up\n"
        subprocess.run(["ip", "-n", os.path.basename(path), "-batch", "-"], input=settings, text=True, check=True)
    sends = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('10.87.0.2', 9))"
    subprocess.run(["nsenter", f"--net={paths[0]}", "python3", "-c", sends], check=True)
    assert neighbours(paths[0])["10.87.0.2"] == links(os.path.basename(paths[1]))["host0"]["address"]


def test_attaching_again_makes_it_anew(namespace: Namespace) -> None:
    path = namespace.attach("node1")
    before = os.stat(path).st_ino
    assert namespace.attach("node1") == path
    assert os.stat(path).st_ino != before
    assert set(links(os.path.basename(path))) == {"lo", "host0"}
    assert len(ports(namespace)) == 1


def test_what_a_killed_run_left_is_in_nobodys_way(namespace: Namespace) -> None:
    path = Path(namespace.attach("node1"))
    namespace.detach("node1")
    path.touch()  # "ip netns add" makes the file first
    namespace.attach("node1")
    subprocess.run(["ip", "-n", path.name, "link", "delete", "host0"], check=True)
    namespace.attach("node1")
    assert set(links(path.name)) == {"lo", "host0"}


def test_detaching_twice_is_no_fault(namespace: Namespace) -> None:
    path = namespace.attach("node1")
    namespace.detach("node1")
    namespace.detach("node1")
    assert not os.path.exists(path)
    assert ports(namespace) == []


def test_what_the_host_remembers_may_go_while_it_is_forgotten(namespace: Namespace, tmp_path: Path) -> None:
    entries = [f"neighbour replace 10.87.1.{n} lladdr 02:00:00:00:00:01 nud stale dev {BRIDGE}" for n in range(250)]

    def forget(_number: int) -> None:
        own = Namespace("lab", str(tmp_path))
        for _time in range(60):
            own.create("10.87.0.0/16")

    def remember() -> None:
        while not ended.is_set():
            command = ["ip", "-n", namespace.name, "-batch", "-"]
            subprocess.run(command, input="\n".join(entries), text=True, check=True)

    ended = threading.Event()
    thread = threading.Thread(target=remember)
    thread.start()
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(forget, range(3)))
    finally:
        ended.set()
        thread.join()
