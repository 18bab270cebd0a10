"""Consoles of VMs that are waited for are recorded, over real sockets of a simulated cluster."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import time
import typing as t
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.waiting import last_words
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Lost
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import consoles, terminal
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import World

PANIC = "\x1b[0;1;31mBegin: mounting root\x1b[0m\r\n\x1b]0;title\x07Kernel panic - not syncing: \x02no root\r\n"


def wait_until(what: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def says(world: World, text: str, name: str = "web1") -> None:
    (world.state / "guests" / f"{world.vmid(name)}.json").write_text(json.dumps({"console": text}))


def progress(world: World) -> str:
    path = world.directory / "progress"
    return path.read_text() if path.exists() else ""


def words(platform: Proxmox, index: int = 0) -> str:
    return last_words(platform, platform.deployment.nodes[index])


@pytest.fixture
def deployed(world: World) -> t.Iterator[Proxmox]:
    platform = world.platform()
    world.deploy(platform, "one")
    yield platform
    platform.consoles.follow({})


def logged_in(world: World, *privileges: str, secret: str = "s3cret-password") -> Proxmox:
    """With a password, and these privileges besides those that are needed to look."""
    world.call("POST", "/access/roles", roleid="Some", privs=" ".join(("VM.Audit", *privileges)))
    world.call("POST", "/access/users", userid="deploy@pve", password=secret)
    world.call("PUT", "/access/acl", path="/", users="deploy@pve", roles="Some")
    deployment = world.deployment()
    kept = {key: deployment.credentials[key] for key in ("host", "ca_file")}
    credentials = {**kept, "user": "deploy@pve", "password": secret}
    return Proxmox(replace(deployment, credentials=credentials), Progress(str(world.directory / "progress")))


def test_what_a_node_says_while_it_is_waited_for(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    assert words(deployed) == ""
    assert deployed.lost(deployed.deployment.nodes) == {}
    wait_until(lambda: "panic" in words(deployed))
    assert words(deployed) == "Begin: mounting root\nKernel panic - not syncing: no root"
    assert words(deployed, 1) == ""


def test_what_it_says_tells_that_a_node_is_not_coming_up(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    nodes = deployed.deployment.nodes
    wait_until(lambda: bool(deployed.lost(nodes)))
    assert deployed.lost(nodes) == {"web1": Lost("its kernel has panicked", certain=False)}


def test_what_the_boot_before_said_is_not_held_against_the_next_one(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    nodes = deployed.deployment.nodes
    wait_until(lambda: bool(deployed.lost(nodes)))
    says(world, "login: ")
    world.deploy(deployed, "two")
    assert deployed.lost(nodes) == {}
    wait_until(lambda: "login:" in words(deployed))
    assert deployed.lost(nodes) == {}


def test_a_terminal_ends_with_the_vm_also_if_it_starts_again_at_once(world: World, deployed: Proxmox) -> None:
    guests, vmid = world.server.cluster.guests, world.vmid("web1")
    says(world, "one")
    heard = guests.console(vmid)
    assert [next(heard), next(heard)] == [b"one", b""]
    guests.forget(vmid)
    guests.start("pve1", vmid, {}, [])
    assert list(islice(heard, 1)) == []


def test_it_is_kept_after_the_wait_without_secrets(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    deployed.lost(deployed.deployment.nodes)
    wait_until(lambda: "panic" in words(deployed))
    deployed.lost(deployed.deployment.nodes[1:])  # web1 is given up
    kept = world.directory / "nodes" / "web1" / "console.log"
    wait_until(lambda: kept.exists() and "panic" in kept.read_text())
    assert kept.stat().st_mode & 0o077 == 0
    assert words(world.platform()) == words(deployed)  # of a later step
    everything = progress(world) + kept.read_text()
    assert "PVEVNC" not in everything and deployed.deployment.credentials["token_secret"] not in everything


def test_with_a_password(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    platform = logged_in(world, "VM.Console")
    platform.lost(platform.deployment.nodes)
    wait_until(lambda: "panic" in words(platform))
    platform.consoles.follow({})


def test_with_a_fingerprint(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    certificate = ssl.get_server_certificate(("127.0.0.1", world.server.server_address[1]))
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    for given, heard in ((fingerprint, True), (f"{'00' * 31}01", False)):
        platform = Proxmox(deployed.deployment, Progress(str(world.directory / "progress")))
        vm = deployed.service.find("web1")
        assert vm is not None
        access = vm.cluster.client.access
        vm.cluster.client.access = replace(access, ca_file="", fingerprint=given)
        platform.consoles.follow({"web1": vm})
        if heard:
            wait_until(lambda shown=platform: "panic" in words(shown))  # type: ignore[misc]
        else:
            wait_until(lambda: "ingerprint" in progress(world))
        platform.consoles.follow({})
        vm.cluster.client.access = access


def test_without_the_privilege_it_says_so_once(world: World, deployed: Proxmox) -> None:
    platform = logged_in(world)
    for _again in range(3):
        assert platform.lost(platform.deployment.nodes) == {}
    wait_until(lambda: "VM.Console" in progress(world))
    time.sleep(0.3)
    platform.lost(platform.deployment.nodes)
    time.sleep(0.3)
    assert progress(world).count("consoles of VMs are not recorded") == 1
    assert f"user deploy@pve lacks VM.Console on /vms/{world.vmid('web1')}" in progress(world) or (
        f"user deploy@pve lacks VM.Console on /vms/{world.vmid('web2')}" in progress(world)
    )
    assert words(platform) == ""


def test_a_vm_without_a_serial_port(world: World, deployed: Proxmox) -> None:
    vm = deployed.service.find("web1")
    assert vm is not None
    vm.stop()
    world.call("PUT", f"/nodes/{vm.node}/qemu/{vm.vmid}/config", delete="serial0")
    vm.start()
    deployed.lost(deployed.deployment.nodes)
    wait_until(lambda: f"VM {vm.vmid} has no serial port" in progress(world))
    assert words(deployed) == ""


def test_without_the_library(world: World, deployed: Proxmox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "HAS_WEBSOCKET", False)
    monkeypatch.setitem(sys.modules, "websocket", None)
    assert deployed.lost(deployed.deployment.nodes) == {}
    wait_until(lambda: "'websocket-client>=1.6'" in progress(world))


def test_few_at_once_and_the_next_take_their_places(
    world: World, deployed: Proxmox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consoles, "AT_ONCE", 1)
    says(world, "one\r\n")
    says(world, "two\r\n", "web2")
    first, second = deployed.deployment.nodes
    deployed.lost([first, second])
    wait_until(lambda: words(deployed) == "one")
    deployed.lost([first, second])
    assert words(deployed, 1) == ""
    deployed.lost([second])
    wait_until(lambda: words(deployed, 1) == "two")
    assert words(deployed) == "one"


def test_a_guest_that_never_stops_talking(world: World, deployed: Proxmox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles, "KEPT", 1000)
    says(world, "".join(f"line {number}\r\n" for number in range(5000)))
    deployed.lost(deployed.deployment.nodes)
    wait_until(lambda: words(deployed).endswith("line 4999"))
    assert len(deployed.console(deployed.deployment.nodes[0], 10000)) <= 1000


def test_the_real_one_takes_no_other_ticket(world: World, deployed: Proxmox) -> None:
    vm = deployed.service.find("web1")
    assert vm is not None
    told = vm.call("POST", "/termproxy", serial="serial0")
    assert 5900 <= told["port"] <= 5999 and told["ticket"].startswith("PVEVNC:")
    with pytest.raises(Exception, match="invalid PVEVNC ticket"):
        vm.call("GET", "/vncwebsocket", port=told["port"], vncticket="PVEVNC:00000000::AAAA")


def test_nothing_stays_of_a_removed_node(world: World, deployed: Proxmox) -> None:
    says(world, PANIC)
    deployed.lost(deployed.deployment.nodes)
    kept = world.directory / "nodes" / "web1" / "console.log"
    wait_until(lambda: kept.exists() and "panic" in words(deployed))
    deployed.consoles.follow({})
    deployed.remove(["web1", "web2"], data=True, tell=world.tell)
    time.sleep(1.5)
    assert not kept.exists()
