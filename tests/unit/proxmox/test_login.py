"""Where the API is and who calls it, in all forms in which people write that, and the ways that lead there."""

from __future__ import annotations

import hashlib
import select
import socket
import socketserver
import ssl
import threading
import typing as t
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.access import Access
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.terminal import console
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import World

SECRET = "6f2f9ac1-0000-0000-0000-00000000abcd"


def check(world: World, storage: str = "local", **credentials: str) -> None:
    """Whether a deployment could be made."""
    deployment = world.deployment("web1", storage=storage)
    changed = replace(deployment, credentials={**deployment.credentials, **credentials})
    refuse(Proxmox(changed, Progress(str(world.directory / "progress"))).check(changed.nodes))


def refused(world: World, storage: str = "local", **credentials: str) -> str:
    """What is said against it."""
    with pytest.raises(ComposeError) as error:
        check(world, storage, **credentials)
    return error.value.message


@pytest.mark.parametrize(
    "form", ["https://{}", "https://{}/", " {}\n", "https://{}/api2/json", "https://{}/#v1:0:18:4"]
)
def test_a_host_as_people_write_it(world: World, form: str) -> None:
    check(world, host=form.format(world.deployment().credentials["host"]))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("pve1", ("pve1", 8006)),
        ("pve1:443", ("pve1", 443)),
        ("https://pve1.example.org", ("pve1.example.org", 8006)),
        ("HTTPS://pve1:8006/", ("pve1", 8006)),
        ("https://[fd00::1]:8007/", ("[fd00::1]", 8007)),
        ("fd00::1", ("[fd00::1]", 8006)),
        ("[fd00::1]", ("[fd00::1]", 8006)),
        ("", ("", 8006)),
    ],
)
def test_hosts(text: str, place: tuple[str, int]) -> None:
    found = Access.at(text, port=8006)
    assert (found.host, found.port) == place


@pytest.mark.parametrize(
    "text",
    ["http://pve1:8006", "pve1:port", "https://pve1:8006/pve2", "pve1:99999", "p v e", "https://", "fd00::1]", ":8006"],
)
def test_hosts_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match=r"the Proxmox host is .*, .*expected HOST, HOST:PORT or https://HOST:PORT/"):
        Access.at(text)


def test_a_host_with_a_password_in_it() -> None:
    with pytest.raises(InputError, match="has a user in it") as told:
        Access.at("https://root:geheim@pve1:8006")
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ({"token_id": f"deploy@pve!ansible={SECRET}"}, "expected USER@REALM!NAME, for example .*, alone"),
        ({"token_id": f"PVEAPIToken=deploy@pve!ansible={SECRET}"}, "expected USER@REALM!NAME, .*, alone"),
        ({"token_id": "ansible"}, "token_id is 'ansible', expected USER@REALM!NAME"),
        ({"token_id": "!ansible"}, "token_id is '!ansible', expected USER@REALM!NAME"),
        ({"token_id": "deploy!ansible"}, "expected USER@REALM!NAME, .*: the realm is missing"),
        ({"token_id": "deploy@pve"}, "token_id is 'deploy@pve', expected USER@REALM!NAME"),
        ({"token_id": "deploy@pve!"}, "token_id is 'deploy@pve!', expected USER@REALM!NAME"),
        ({"token_id": "deploy@pve!a b"}, "token_id is 'deploy@pve!a b', expected"),
        ({"token_id": "ansible", "user": "deploy"}, "the Proxmox user is 'deploy', expected USER@REALM"),
        ({"token_id": "deploy@pve!ansible", "token_secret": ""}, "set PROXMOX_TOKEN_SECRET"),
        ({"token_id": "deploy@pve!ansible", "token_secret": f"deploy@pve!ansible={SECRET}"}, "is not the secret alone"),
        ({"token_id": "deploy@pve!ansible", "token_secret": f"{SECRET}\u201d"}, "is not the secret alone"),
        ({"user": "root", "password": SECRET}, "the Proxmox user is 'root', expected USER@REALM"),
        ({"user": "deploy@pve!ansible", "password": SECRET}, "the Proxmox user is .*, expected USER@REALM"),
        ({"token_id": "deploy@pve!ansible", "fingerprint": "AB:CD"}, "fingerprint is 'AB:CD', expected the 64"),
    ],
)
def test_tokens_that_are_none(credentials: dict[str, str], words: str) -> None:
    given = {"token_secret": SECRET, **credentials} if "token_id" in credentials else credentials
    with pytest.raises(InputError, match=words) as told:
        Access.at("pve1", **given).check()
    assert SECRET not in str(told.value)


def test_tokens_as_people_write_them() -> None:
    for token in ({"token_id": " deploy@pve!ansible\n"}, {"token_id": "ansible", "user": "deploy@pve "}):
        access = Access.at("pve1", token_secret=f"{SECRET}\n", **token)
        access.check()
        assert (access.account, access.token_name, access.token_secret) == ("deploy@pve", "ansible", SECRET)
        assert access.caller == "token deploy@pve!ansible"


def test_a_token_that_lacks_what_its_user_has(world: World) -> None:
    """Privileges are separated unless it is said that they are not."""
    world.call("POST", "/access/users", userid="deploy@pve")
    world.call("PUT", "/access/acl", path="/", users="deploy@pve", roles="Administrator")
    made = world.call("POST", "/access/users/deploy@pve/token/ansible")
    own = {"token_id": "deploy@pve!ansible", "token_secret": made["value"]}
    words = refused(world, **own)
    assert (
        "token deploy@pve!ansible may see (Datastore.AllocateSpace (if its user deploy@pve has it: the token" in words
    )
    for path, role in (("/storage", "PVEDatastoreAdmin"), ("/access", "PVEAuditor")):
        world.call("PUT", "/access/acl", path=path, tokens="deploy@pve!ansible", roles=role)
    words = refused(world, **own)
    assert words.startswith("token deploy@pve!ansible lacks what is needed: on /")
    assert "VM.PowerMgmt (its user has it: the token was made with privilege separation). Give a role" in words
    words = refused(world, "tank", **own)
    assert "no storage 'tank' that token deploy@pve!ansible may see (Datastore.AllocateSpace); there are" in words


def test_what_answers_is_no_proxmox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxmox.cluster.Cluster.handle", lambda *_given, **_more: (type("C", (), {"total": 0}), "hi"))
    assert "what answers at 127.0.0.1, port" in refused(world)


class _Proxy(socketserver.ThreadingTCPServer):
    """A proxy that knows only CONNECT, and counts."""

    daemon_threads = True
    count = 0


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        host, _colon, port = self.rfile.readline().split()[1].decode().rpartition(":")
        while self.rfile.readline().strip():
            pass
        self.server.count += 1
        with suppress(ConnectionError), socket.create_connection((host, int(port))) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while True:
                for ready in select.select([self.connection, there], [], [], 30)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    (there if ready is self.connection else self.connection).sendall(data)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[_Proxy]:
    """One that the environment names."""
    with _Proxy(("127.0.0.1", 0), _Tunnel) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", f"http://me:geheim@127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()


def test_a_proxy_of_the_environment_is_used(world: World, proxy: _Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    check(world)
    assert proxy.count > 0
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    proxy.count = 0
    check(world)
    assert proxy.count == 0


def test_a_fingerprint_is_demanded_through_a_proxy_too(world: World, proxy: _Proxy) -> None:
    certificate = ssl.get_server_certificate(("127.0.0.1", world.server.server_address[1]))
    check(world, ca_file="", fingerprint=hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest())
    assert proxy.count > 0
    words = refused(world, ca_file="", fingerprint="AB" * 32)
    assert words.startswith("the certificate of Proxmox at 127.0.0.1") and "through the proxy" in words


def test_a_proxy_that_does_not_answer_is_named(world: World, proxy: _Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:geheim@127.0.0.1:1")
    words = refused(world)
    assert "through the proxy http://127.0.0.1:1 (HTTPS_PROXY or ALL_PROXY in the environment of" in words
    assert "geheim" not in words


def test_an_authority_of_the_environment(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(world.state / "pve-root-ca.pem"))
    check(world, ca_file="")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    check(world)  # what the deployment says wins
    assert "REQUESTS_CA_BUNDLE in the environment is" in refused(world, ca_file="")


def test_consoles_are_read_through_a_proxy_too(world: World, proxy: _Proxy) -> None:
    platform = world.platform("web1")
    world.deploy(platform, "one")
    vm = platform.service.find("web1")
    assert vm is not None
    (world.state / "guests" / f"{vm.vmid}.json").write_text('{"console": "Kernel panic"}')
    before = proxy.count
    with console(vm) as said:
        assert "Kernel panic" in b"".join(data for data, _turn in zip(said, range(20), strict=False)).decode()
    assert proxy.count > before
