# SPDX-License-Identifier: GPL-3.0-or-later
"""Kadeploy asked by its commands on a frontend, and by the API of Grid'5000."""

from __future__ import annotations

import sys
import threading
import typing as t
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from frontend import host, login_server
from lab import Lab
from metal import SIMULATORS, Site, site_of

pytestmark = pytest.mark.backends


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    state, api = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("api")
    with site_of(state, api, rights={"alice": ["sim-1"]}) as site:
        yield site


@pytest.fixture(scope="module")
def ssh_config(site: Site, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Path]:
    """A frontend, ``fe``: an SSH server of this host, where Kadeploy's commands are."""
    directory = tmp_path_factory.mktemp("frontend")
    (directory / "home").mkdir()
    path = f"{SIMULATORS / 'kadeploy/bin'}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    settings = f"PATH={path} USER=alice HOME={directory}/home KADEPLOY3_CONFIG_DIR={site.state}"
    with login_server(directory, "root", SetEnv=settings) as port:
        (directory / "config").write_text(host(directory, "fe", port, "root"))
        yield directory / "config"


@pytest.fixture
def web(site: Site) -> t.Iterator[str]:
    """Where a web server has what Kadeploy fetches."""
    handler = type("Handler", (SimpleHTTPRequestHandler,), {"log_message": lambda *_words: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(site.state / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def lab_on(lab_of: t.Callable[..., Lab], name: str, site: Site, platform: dict[str, t.Any], **more: t.Any) -> Lab:
    """One node."""
    served = {"name": "kadeploy", "directory": str(site.state / "served"), "proxy_command": site.proxy_command}
    lab = lab_of(
        name,
        "web",
        platform={**served, **platform},
        network="10.158.0.0/16",
        roles={"proxy": 0, "database": 0, "backend": 1},
        retries=1,
        boot_timeout=120,
        **more,
    )
    lab.drop_test_script()
    return lab


def test_commands_on_a_frontend(site: Site, ssh_config: Path, lab_of: t.Callable[..., Lab]) -> None:
    where = {"backend": "command", "frontend": "fe", "ssh_config": str(ssh_config), "machines": ["sim-1"]}
    nodes = {"backend1": {"address": site.machines["sim-1"]["address"]}}
    lab = lab_on(lab_of, "commands", site, where, nodes=nodes)
    lab.write(platform={**lab.deployment["platform"], "url": site.url})
    assert lab.play("deploy", expect=2).said("url is given, which backend: command does not use")
    lab.write(platform={key: value for key, value in lab.deployment["platform"].items() if key != "url"})
    site.fail({"kind": "post_install", "machine": "sim-1", "times": 1, "error": "no space left"})
    run = lab.play("deploy")
    assert run.said("switch backend1: failed: sim-1: BroadcastEnvChain-manage_user_post_install: no space left")
    assert run.said("round 2 of 2: booting again: backend1") and lab.release() == 1
    assert lab.ssh("backend1", "hostname").stdout.strip() == "backend1"
    assert lab.play("deploy").changed == 0
    kept = ssh_config.parent / "home/.local/state/immutable.compose/kadeploy"
    assert list(kept.iterdir()) == []
    lab.play("destroy")
    assert site.running() == set() and list((site.state / "served").iterdir()) == []


def test_the_api_of_grid5000(lab_of: t.Callable[..., Lab], site: Site, web: str) -> None:
    api = {"url": f"{site.api}/stable", "site": "grenoble"}
    where = {"backend": "grid5000", **api, "directory_url": web, "machines": ["sim-1"]}
    nodes = {"backend1": {"address": site.machines["sim-1"]["address"]}}
    wanted = {"nodes": 1, "walltime": "2:0:0", "interface": "grid5000", "properties": "host='sim-1'", **api}
    lab = lab_on(lab_of, "api", site, where, nodes=nodes, reservation=wanted)
    (lab.inventory / "group_vars").mkdir()
    (lab.inventory / "group_vars/all.yml").write_text("compose_credentials: {user: alice, password: alice}\n")
    lab.play("deploy")
    assert site.running() == {"sim-1"} and lab.release() == 1
    assert lab.ssh("backend1", "hostname").stdout.strip() == "backend1"
    fetched = [path.name for path in (site.state / "served").glob("*/*")]
    assert len(fetched) == 1 and fetched[0].endswith(".tar"), "descriptions are there no longer than their deployment"
    lab.play("destroy")
    assert site.running() == set() and list((site.state / "served").iterdir()) == []
    assert site.jobs() == [(f"compose-{lab.name}", "error")]
