"""Machines of the stand-in for Kadeploy boot what is deployed on them; needs root."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import typing as t
from pathlib import Path

import pytest
import requests

KADEPLOY = Path(__file__).resolve().parents[1] / "simulators/kadeploy"
PACKAGES = "systemd-sysv,openssh-server,iproute2"
POST_INSTALL = '#!/bin/sh -e\nmkdir -p /mnt/dest/etc/site\necho "$KADEPLOY_NODE $1" >/mnt/dest/etc/site/installed\n'


@pytest.fixture(scope="module")
def image() -> Path:
    """A small Debian system with an SSH server."""
    path = Path(__file__).resolve().parents[2] / ".cache/machines/debian.tar"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".new.tar")
        options = ["--variant=minbase", f"--include={PACKAGES}", "--dpkgopt=path-exclude=/usr/share/doc/*"]
        subprocess.run(["mmdebstrap", "--quiet", *options, "trixie", new], check=True)
        with tarfile.open(new, "a") as archive:
            for name in ("vmlinuz", "initrd.img"):
                archive.addfile(tarfile.TarInfo(f"./{name}"), io.BytesIO())
        new.rename(path)
    return path


class Site:
    """A Kadeploy with four machines."""

    def __init__(self, url: str, state: Path) -> None:
        self.url = url
        self.state = state

    def call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        """One call."""
        headers = {"X-Kadeploy-User": "alice"}
        found = requests.request(method, self.url + path, json=body, headers=headers, timeout=60)
        assert found.status_code == 200, found.text
        return found.json() if found.text.startswith(("{", "[")) else found.text

    def deploy(self, nodes: list[str], image: Path) -> dict[str, t.Any]:
        """Deploy, to the end: what is told of it, and of its nodes."""
        post = {"archive": f"server://{self.state}/post.tgz", "compression": "gzip", "script": "post here"}
        environment = {
            "kind": "anonymous",
            "name": "debian",
            "os": "linux",
            "image": {"file": f"server://{image}", "kind": "tar", "compression": "gzip"},
            "postinstalls": [post],
            "boot": {"kernel": "/vmlinuz", "initrd": "/initrd.img"},
            "filesystem": "ext4",
        }
        keys = f"server://{self.state}/key.pub"
        body = {"nodes": nodes, "environment": environment, "ssh_authorized_keys": keys}
        where = f"/deployment/{self.call('POST', '/deployment', body)['wid']}"
        deadline = time.monotonic() + 300
        while not (about := self.call("GET", where))["done"]:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        return {**about["nodes"], "state": self.call("GET", f"{where}/state")}

    def ssh(self, node: str, command: str) -> subprocess.CompletedProcess[str]:
        """A command on a machine."""
        machine = json.loads((self.state / "machines.json").read_text())[node]
        options = {"ProxyCommand": machine["proxy_command"], "UserKnownHostsFile": f"{self.state}/known_{node}"}
        options |= {"StrictHostKeyChecking": "accept-new", "IdentityFile": f"{self.state}/key", "BatchMode": "yes"}
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        shell = ["ssh", "-F", "none", *words, f"root@{node}", command]
        return subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def site(tmp_path: Path) -> t.Iterator[Site]:
    """Serves, and stops it with all machines."""
    state = tmp_path / "state"
    state.mkdir()
    clusters = {"sim": {"nodes": ["sim-[1-4]"], "automaton": "classical", "before_ping": 1, "reboot_timeout": 90}}
    clusters["sim"]["automaton"] = [
        ["SetDeploymentEnv", [["SetDeploymentEnvUntrusted", 0, 0]]],
        ["BroadcastEnv", [["BroadcastEnvChain", 0, 0]]],
        ["BootNewEnv", [["BootNewEnvClassical", 0, 0]]],
    ]
    (state / "options.json").write_text(
        json.dumps({"pace": 0.3, "clusters": clusters, "rights": {"alice": ["sim-[1-4]"]}})
    )
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", state / "key"], check=True)
    with tarfile.open(state / "post.tgz", "w:gz") as archive:
        script = tarfile.TarInfo("post")
        script.mode, script.size = 0o755, len(POST_INSTALL)
        archive.addfile(script, io.BytesIO(POST_INSTALL.encode()))
    command = [sys.executable, str(KADEPLOY / "serve"), "--state", str(state), "--machines", "nspawn"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            _ready, url = process.stdout.readline().split()
            yield Site(url, state)
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(60)
    assert not list((state / "machines").glob("*/etc"))


def test_what_is_deployed_boots(site: Site, image: Path) -> None:
    done = site.deploy(["sim-[1-2]"], image)
    assert (done["ok"], done["ko"]) == (["sim-1", "sim-2"], [])
    for node in ("sim-1", "sim-2"):
        said = site.ssh(
            node, "hostname; cat /etc/site/installed; systemctl is-system-running --wait >/dev/null; ls /run/systemd"
        )
        assert said.stdout.splitlines()[:2] == [node, f"{node} here"], said.stderr
    kept = (site.state / "known_sim-1").read_text()
    (site.state / "faults.json").write_text('[{"kind": "no_boot", "machine": "sim-2", "system": "user"}]')
    again = site.deploy(["sim-[1-2]"], image)
    assert (again["ok"], again["ko"]) == (["sim-1"], ["sim-2"])
    assert again["state"]["sim-2"]["error"] == "BootNewEnvClassical-wait_reboot: Unreachable after the reboot"
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in site.ssh("sim-1", "true").stderr
    (site.state / "known_sim-1").unlink()
    assert site.ssh("sim-1", "true").returncode == 0
    assert (site.state / "known_sim-1").read_text() != kept
