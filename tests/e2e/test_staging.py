# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels to a site's frontend: of an image, what an earlier one there does not have."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from frontend import host, login_server
from lab import Lab
from metal import Metal, metal_of


@pytest.fixture(scope="module")
def metal(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Metal]:
    with metal_of(tmp_path_factory.mktemp("site"), "sim-1", rights={"alice": ["sim-1"]}) as metal:
        yield metal


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Path]:
    """A directory with the ``config`` of ``ssh`` for a frontend, ``fe``; all that goes there is in ``sent``, too."""
    directory = tmp_path_factory.mktemp("line")
    with login_server(directory, "root") as port:
        way = f"  ProxyCommand sh -c 'tee -a {directory}/sent | nc 127.0.0.1 {port}'\n"
        (directory / "config").write_text(host(directory, "fe", port, "root") + way)
        yield directory


def test_only_what_has_changed_is_sent(metal: Metal, line: Path, lab_of: t.Callable[..., Lab]) -> None:
    served, sent = metal.state / "served", line / "sent"
    lab = lab_of(
        "staging",
        "web",
        platform={
            "name": "kadeploy",
            "url": metal.url,
            "user": "alice",
            "machines": ["sim-1"],
            "directory": str(served),
            "frontend": "fe",
            "ssh_config": str(line / "config"),
            "proxy_command": metal.proxy_command,
        },
        network="10.158.0.0/16",
        roles={"proxy": 0, "database": 0, "backend": 1},
        nodes={"backend1": {"address": metal.machines["sim-1"]["address"]}},
        boot_timeout=120,
    )
    lab.drop_test_script()
    lab.play("deploy")
    (first,) = served.glob("*/*.tar")
    assert sent.stat().st_size > first.stat().st_size

    sent.unlink()
    lab.edit("import json", "import json  # one word more", "visits.py")
    lab.play("deploy")
    second = max(served.glob("*/*.tar"), key=lambda path: path.stat().st_mtime_ns)
    print(f"sent: {sent.stat().st_size} bytes for an image of {second.stat().st_size}")
    assert second != first and lab.release() == 2
    assert sent.stat().st_size < second.stat().st_size / 50
    assert lab.ssh("backend1", "grep -c 'one word more' /usr/local/lib/visits.py").stdout == "1\n"
    lab.play("destroy")
    assert list(served.iterdir()) == []
