# SPDX-License-Identifier: GPL-3.0-or-later
"""Two redundant nodes, of which at most one may be down: replaced one after the other, and not both broken."""

from __future__ import annotations

import re
import threading
import typing as t
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import NEW, Lab, changed
from schemas import check_state

NODES = ("backend1", "backend2")
#: Listening on port 8080, as /proc/net/tcp has it.
LISTENS = re.compile(r":1F90 \S+ 0A ")
PORT = "ports = [ 8080 ];"
BROKEN = f"""{PORT}
    # {NEW}
    units."broken.service".text = ''
      [Service]
      Type=oneshot
      ExecStart=/bin/false

      [Install]
      WantedBy=multi-user.target
    '';
"""


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("waves", "web", platform="nspawn", roles={"proxy": 0, "database": 0}, at_most={"backend": 1})
    lab.drop_kernels()
    lab.drop_test_script()
    lab.play("deploy")
    return lab


def serves(lab: Lab, node: str) -> bool:
    """Whether something listens on the node's port; asks this host, so that no node is slowed down or missed."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text().split("\0")
            if f"--machine={node}" in command and any(word.startswith(f"--directory={lab.state}/") for word in command):
                init = (entry / "task" / entry.name / "children").read_text().split()[:1]
                tables = [Path(f"/proc/{pid}/net/{name}") for pid in init for name in ("tcp", "tcp6")]
                return any(LISTENS.search(table.read_text()) for table in tables)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


@contextmanager
def watched(lab: Lab) -> t.Iterator[set[tuple[str, ...]]]:
    """Which nodes were down together, at any time meanwhile."""
    seen: set[tuple[str, ...]] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            down = [node for node in NODES if not serves(lab, node)]
            # One may come up, and then the other go down, between the two looks.
            seen.add(tuple(node for node in down if len(down) == 1 or not serves(lab, node)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def test_redundant_nodes_are_replaced_one_after_the_other(lab: Lab) -> None:
    boots = lab.boots()
    lab.write(parameters={"replaced": True})  # another node document does it, and needs no other image
    with watched(lab) as down:
        run = lab.play("deploy")
    assert changed(boots, lab.boots()) == set(NODES)
    assert NODES not in down
    assert {("backend1",), ("backend2",)} & down
    told = [line.split("compose | ")[-1] for line in run.output.splitlines()]
    order = [
        "switch: wave 1 of 2: backend1",
        "switch backend1: started (1 of 2)",
        "verify backend1: ok (1 of 1)",
        "switch: wave 2 of 2: backend2",
        "switch backend2: stopping",
        "switch backend2: started (2 of 2)",
    ]
    assert [line for line in told if line in order] == order


def test_a_bad_image_breaks_one_of_them_and_leaves_the_other_alone(lab: Lab) -> None:
    boots, images = lab.boots(), lab.images()
    lab.edit(PORT, BROKEN)
    with watched(lab) as down:
        run = lab.play("deploy", expect=2)
    assert NODES not in down
    assert run.said("verify backend1: failed units: broken.service")
    assert run.said("left as it was: backend1 failed before its turn")
    assert not run.said("switch backend2")
    assert {node: counts["failed"] for node, counts in run.recap.items()} == dict.fromkeys(NODES, 1)
    assert changed(boots, lab.boots()) == {"backend1"}
    assert lab.images() == images


def test_what_lies_on_the_disk_fits_its_schema(lab: Lab) -> None:
    assert check_state(lab.state) >= {"release", "image", "machine", "node", "report"}
