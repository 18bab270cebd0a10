"""Files for Guix itself, as they are: virtual machines of a site, and what it has for ``guix deploy``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.errors import EvaluationError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import RoleMachine

from .conftest import DATA, ROOT, MakeBuilder, guix

Site = t.Callable[[t.Mapping[str, t.Any]], str]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The files of the site, with a composition.yml."""

    def write(said: t.Mapping[str, t.Any]) -> str:
        path = tmp_path / "vms"
        shutil.copytree(DATA / "vms", path, dirs_exist_ok=True)
        (path / "composition.yml").write_text(yaml.safe_dump(dict(said)))
        return str(path)

    return write


def derivation(builder: MakeBuilder, path: str, role: str, format_: str) -> str:
    """Of the image of a role."""
    return builder()._plan(path, {}, [role], [format_])[-1][role][format_].derivation


def texts(derivation: str, name: str) -> list[str]:
    """What the derivations below one say whose names end so."""
    found = [each for each in guix("gc", "--requisites", derivation).split() if each.endswith(name)]
    return [Path(each).read_text() for each in found]


def test_a_virtual_machine_of_a_site(builder: MakeBuilder, site: Site) -> None:
    path = site({"roles": {"login": {"file": "login/login.scm"}}})
    image = derivation(builder, path, "login", "qcow2")
    # Its boot loader is for UEFI; the partition table is, too.
    assert all("gpt" in text for text in texts(image, "-genimage.cfg-builder"))
    # The network is the node's own, the name servers are the site's, and SSH answers where nodes are reached.
    assert any("nameserver 10.87.0.53" in text for text in texts(image, "-resolv.conf"))
    networks = texts(image, "-set-up-network-builder")
    assert any("127.0.0.1" in text for text in networks) and not any("10.87.9.9" in text for text in networks)
    (sshd,) = texts(image, "-sshd_config-builder")
    assert "Port 22\\n" in sshd and "2222" in sshd
    assert builder().identify(path, {}, ["login"], ["oci"])["login"].endswith("-system")
    # Where it lies makes no difference.
    elsewhere = Path(path).parent / "elsewhere"
    shutil.copytree(path, elsewhere / "vms")
    assert derivation(builder, str(elsewhere / "vms"), "login", "qcow2") == image


def test_what_a_system_has_twice_or_not_at_all(builder: MakeBuilder, site: Site) -> None:
    """Another SSH server, another version of a package that nodes have, a network by an extension, no base services."""
    path = site({"roles": {"own": {"file": "own.scm"}, "bare": {"file": "bare.scm"}}})
    Path(path, "own.scm").write_text(
        """
        (use-modules (gnu) (gnu packages base) (gnu packages bash) (gnu packages linux) (gnu services networking)
                     (gnu services ssh) (guix packages) (templates vm))
        (operating-system
          (inherit vm-system)
          (packages (list (package (inherit iproute) (version "0")) bash coreutils))
          (services (cons* (service dropbear-service-type)
                           (simple-service 'more static-networking-service-type (list %qemu-static-networking))
                           %base-services)))
        """
    )
    Path(path, "bare.scm").write_text(
        """
        (use-modules (gnu) (templates vm))
        (operating-system
          (inherit vm-system)
          (services (list (service udev-service-type)
                          (service syslog-service-type)
                          (service static-networking-service-type (list %loopback-static-networking)))))
        """
    )
    found = builder().identify(path, {}, ["own", "bare"], ["tar"])
    assert len(set(found.values())) == 2


def test_a_variable_of_a_module(builder: MakeBuilder, site: Site) -> None:
    named = {"module": "(templates vm)", "variable": "vm-system"}
    path = site(
        {"roles": {"vm": named, "nosuch": {**named, "variable": "vm"}, "other": {**named, "module": "(no vm)"}}}
    )
    make = builder()
    assert make.identify(path, {}, ["vm"], ["tar"])["vm"].endswith("-system")
    with pytest.raises(
        EvaluationError, match=r"vm of module \(templates vm\), role 'nosuch' in .* does not evaluate"
    ) as error:
        make.identify(path, {}, ["nosuch"], ["tar"])
    assert "module (templates vm) exports no variable 'vm'" in error.value.message
    with pytest.raises(EvaluationError, match=r"no code for module \(no vm\)"):
        make.identify(path, {}, ["other"], ["tar"])


def test_several_systems_in_one_file(builder: MakeBuilder, site: Site) -> None:
    """One of them is in an image, and another one has a network by a service of its own."""
    roles = {name: {"file": "all.scm", "variable": name} for name in ("web", "db", "nosuch")}
    path = site({"roles": roles})
    Path(path, "all.scm").write_text(
        """
        (use-modules (gnu) (gnu image) (gnu services shepherd) (gnu system image) (guix gexp) (templates vm))
        (define db (operating-system (inherit vm-system) (host-name "db")))
        (define web
          (image
            (inherit efi-disk-image)
            (operating-system
              (operating-system
                (inherit vm-system)
                (services (cons (simple-service 'own shepherd-root-service-type
                                  (list (shepherd-service (provision '(bridge networking)) (start #~(const #t)))
                                        (shepherd-service (provision '(networking)) (start #~(const #t)))))
                                (operating-system-user-services vm-system)))))))
        """
    )
    make = builder()
    found = make.identify(path, {}, ["web", "db"], ["tar"])
    assert found["web"] != found["db"]
    assert texts(derivation(builder, path, "web", "tar"), "-shepherd-bridge.scm-builder")
    with pytest.raises(EvaluationError, match=r"all\.scm defines no variable 'nosuch'"):
        make.identify(path, {}, ["nosuch"], ["tar"])


def test_machines_of_guix_deploy(builder: MakeBuilder, site: Site) -> None:
    path = site({"machines": "deploy.scm", "roles": {"front": {"ports": [443], "tags": ["www"]}}})
    with pytest.raises(EvaluationError, match=r"deploy\.scm is a program, which reading the inventory would run"):
        builder().evaluate(path, {})
    make = builder(trusted=True)
    roles = make.evaluate(path, {}).roles
    assert roles["front"].machine == RoleMachine("10.87.9.7", "alice", 2222, f"{path}/./key")
    assert (roles["front"].ports, roles["back"].ports, roles["front"].tags) == ((443,), (), ("www",))
    found = make.identify(path, {}, ["front", "back"], ["tar"])
    assert found["front"] != found["back"]

    Path(path, "composition.yml").write_text("{machines: deploy.scm, roles: {fornt: {ports: [443]}}}")
    with pytest.raises(InputError, match=r"roles\.fornt: .*deploy\.scm has no such machine; did you mean 'front'"):
        builder(trusted=True).evaluate(path, {})
    Path(path, "composition.yml").write_text("machines: templates/vm.scm")
    with pytest.raises(EvaluationError, match="does not return a list of machines, as `guix deploy' takes it"):
        builder(trusted=True).evaluate(path, {})


def test_ansible_inventory_lists_machines_of_guix_deploy(site: Site, tmp_path: Path) -> None:
    site({"machines": "deploy.scm", "roles": {"front": {"tags": ["www"]}}})
    deployment = tmp_path / "lab.compose.yml"
    content = {
        "plugin": "immutable.compose.composition",
        "composition": "vms",
        "builder": "guix",
        "platform": "kexec",
        "trust": True,
    }
    deployment.write_text(yaml.safe_dump(content))
    listed = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(deployment), "--list"],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    inventory = json.loads(listed.stdout)
    assert inventory["tag_www"]["hosts"] == ["front"]
    hosts = inventory["_meta"]["hostvars"]
    assert hosts["front"]["compose_address"] == "10.87.9.7"
    key = f"{tmp_path}/vms/./key"
    assert hosts["back"]["compose_options"] == {"host": "back.example.org", "user": "alice", "port": 2222, "key": key}
