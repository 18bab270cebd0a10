"""Keys of a deployment: made once, kept, private, and understood by OpenSSH's own tools."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes import keys as keys_module
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys


def keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True).stdout


def test_nothing_is_written_before_a_key_is_asked_for(tmp_path: Path) -> None:
    Keys(str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()


def test_keys_are_made_once(tmp_path: Path) -> None:
    first, again = Keys(str(tmp_path)), Keys(str(tmp_path))
    assert first.host_key("node1") == again.host_key("node1")
    assert first.host_key("node1") != first.host_key("node2")
    assert first.login_public_key() == again.login_public_key()
    assert first.login_public_key() == (tmp_path / "id_ed25519.pub").read_text().strip()


def test_private_keys_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keys = Keys(str(tmp_path / "state"))
        keys.host_key("node1")
        keys.login_public_key()
    finally:
        os.umask(old)
    for name in ("ca", "id_ed25519", "hostkeys/node1"):
        assert stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) == 0o600
    assert not list((tmp_path / "state").rglob("*.new"))


def test_certificate_as_openssh_reads_it(tmp_path: Path) -> None:
    Keys(str(tmp_path)).host_key("oar-server")
    shown = keygen("-L", "-f", str(tmp_path / "hostkeys" / "oar-server-cert.pub"))
    assert "ssh-ed25519-cert-v01@openssh.com host certificate" in shown
    fingerprint = keygen("-l", "-f", str(tmp_path / "ca.pub")).split()[1]
    assert fingerprint in shown
    assert "Principals: \n                oar-server\n" in shown
    assert (
        keygen("-y", "-f", str(tmp_path / "hostkeys" / "oar-server")).split()[:2]
        == (Keys(str(tmp_path)).host_key("oar-server").public.split()[:2])
    )


@pytest.mark.parametrize("damage", ["expired", "of the future", "other CA", "another length", "truncated", "missing"])
def test_certificate_is_renewed_but_never_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = tmp_path / "hostkeys" / "node1-cert.pub"
    with monkeypatch.context() as patch:
        if damage == "expired":
            patch.setattr(keys_module, "VALIDITY", keys_module.RENEW - 60)
        elif damage == "of the future":
            later = time.time() + 2 * keys_module.DAY
            patch.setattr("time.time", lambda: later)
        before = Keys(str(tmp_path)).host_key("node1")
    if damage == "other CA":
        (tmp_path / "ca").unlink()
    elif damage == "another length":
        kind, body, name = path.read_text().split()
        before_key, length, after_key = base64.b64decode(body).rpartition(b"ssh-ed25519\0\0\0\x20")
        assert length
        short = base64.b64encode(before_key + b"ssh-ed25519\0\0\0\x1c" + after_key).decode()
        path.write_text(f"{kind} {short} {name}\n")
    elif damage == "truncated":
        path.write_text(path.read_text()[:60])
    elif damage == "missing":
        path.unlink()
    after = Keys(str(tmp_path)).host_key("node1")
    assert (after.private, after.public) == (before.private, before.public)
    assert after.certificate != before.certificate
    assert Keys(str(tmp_path)).host_key("node1") == after


def test_damaged_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("nonsense")
    with pytest.raises(ComposeError, match=r"/ca: not an SSH private key"):
        Keys(str(tmp_path)).host_key("node1")


def test_access_files(tmp_path: Path) -> None:
    keys = Keys(str(tmp_path / "100% state"))
    reach = {"node2": Endpoint("127.0.0.1", 2202), "node1": Endpoint("10.87.0.2", proxy_command="nc %h %p")}
    keys.write_access(reach)
    config = Path(keys.ssh_config_file)
    before = config.stat().st_mtime_ns, config.stat().st_ino
    keys.write_access(reach)
    assert (config.stat().st_mtime_ns, config.stat().st_ino) == before

    hosts = Path(keys.known_hosts_file).read_text().splitlines()
    assert hosts[0].startswith("@cert-authority node1,node2 ssh-ed25519 ")
    assert hosts[1] == f"node1 {keys.host_key('node1').public}"

    def effective(node: str) -> dict[str, str]:
        shown = subprocess.run(["ssh", "-G", "-F", config, node], check=True, capture_output=True, text=True).stdout
        return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)

    node1, node2 = effective("node1"), effective("node2")
    assert (node1["hostname"], node1["port"], node1["proxycommand"]) == ("10.87.0.2", "22", "nc %h %p")
    assert (node2["hostname"], node2["port"], node2["hostkeyalias"]) == ("127.0.0.1", "2202", "node2")
    assert "proxycommand" not in node2
    assert node2["user"] == "root"
    assert node2["stricthostkeychecking"] == "true"
    assert node2["identitiesonly"] == "yes"
    # Shown before ssh expands %%; that ssh finds both files is tested against a real server (tests/unit/checks).
    assert node2["userknownhostsfile"].replace("%%", "%") == keys.known_hosts_file


def test_no_nodes_no_authority(tmp_path: Path) -> None:
    assert Keys(str(tmp_path)).known_hosts([]) == ""


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(ComposeError, match="'cryptography'"):
        Keys(str(tmp_path)).login_public_key()
