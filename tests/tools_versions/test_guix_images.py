"""A composition with a shared template and three roles, evaluated by the real ``guix system image``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.builder import TYPES
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, EvaluationError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.image import read_image
from ansible_collections.immutable.compose.plugins.module_utils.model.image import SYSTEM_LINK

from .conftest import ROOT, MakeBuilder, forget, guix, register_stub

ROLES = ["client", "monitor", "server"]
IDENTITY = re.compile(r"[a-z0-9]{32}-system")


@pytest.mark.parametrize("format_", ["qcow2", "tar", "oci"])
def test_three_roles_with_a_shared_template_evaluate(format_: str, builder: MakeBuilder, composition: Path) -> None:
    make = builder()
    assert sorted(make.evaluate(str(composition), {}).roles) == ROLES
    identities = make.identify(str(composition), {}, ROLES, [format_])
    assert sorted(identities) == ROLES
    assert len(set(identities.values())) == 3
    assert all(IDENTITY.fullmatch(identity) for identity in identities.values())


def test_what_is_planned_is_what_guix_system_image_prints(builder: MakeBuilder, composition: Path) -> None:
    arguments = ["-t", "qcow2", "-L", str(ROOT / "nix/guix"), "-L", str(composition), "--volatile", "--no-grafts"]
    expression = f'((@ (compose role) role) "{composition}/monitor.scm" (quote ()))'
    derivation = guix("system", "image", "-d", *arguments, "-e", expression)
    assert derivation.endswith("-image.qcow2.drv")
    systems = [path for path in guix("gc", "--requisites", derivation).split() if path.endswith("-system.drv")]
    system = os.path.basename(guix("build", "--dry-run", "--no-grafts", systems[0]) or _output(systems[0]))
    assert builder().identify(str(composition), {}, ["monitor"], ["qcow2"]) == {"monitor": system}


def _output(derivation: str) -> str:
    match = re.search(r'\("out","([^"]+)"', Path(derivation).read_text())
    assert match is not None
    return match[1]


@pytest.mark.parametrize("format_", ["raw", "iso"])
def test_the_other_types_of_images_evaluate(format_: str, builder: MakeBuilder, composition: Path) -> None:
    assert IDENTITY.fullmatch(builder().identify(str(composition), {}, ["client"], [format_])["client"])


def test_other_architectures_evaluate(builder: MakeBuilder, composition: Path) -> None:
    native = builder().identify(str(composition), {}, ["client"], ["tar"])
    foreign = builder(target="aarch64-linux-gnu").identify(str(composition), {}, ["client"], ["tar"])
    assert IDENTITY.fullmatch(foreign["client"])
    assert foreign != native


def test_identity_is_that_of_the_content(builder: MakeBuilder, composition: Path, tmp_path: Path) -> None:
    make = builder()
    before = make.identify(str(composition), {}, ["server"], ["qcow2"])
    elsewhere = tmp_path / "elsewhere" / "other"
    shutil.copytree(composition, elsewhere)
    assert make.identify(str(elsewhere), {}, ["server"], ["qcow2"]) == before
    assert make.identify(str(composition), {}, ["server"], ["qcow2", "raw"]) == before
    assert make.identify(str(composition), {"network": "10.99.0.0/16"}, ["server"], ["qcow2"]) != before
    with pytest.raises(InputError, match="makes images of different systems"):
        make.identify(str(composition), {}, ["server"], ["qcow2", "oci"])
    file = composition / "templates/base.scm"
    file.write_text(file.read_text().replace("Etc/UTC", "Europe/Paris"))
    assert make.identify(str(composition), {}, ["server"], ["qcow2"]) != before


def test_a_composition_in_scheme_says_the_same_as_one_in_yaml(builder: MakeBuilder, composition: Path) -> None:
    in_yaml = builder().evaluate(str(composition), {})
    (composition / "composition.yml").unlink()
    (composition / "composition.scm").write_text(
        """
        (use-modules (compose setup))
        `((roles . ((server . ((description . "exports /srv/shared") (file . "server.scm") (ports . (2049))
                               (volumes . ((shared . ((mount . "/srv/shared") (size . 256)))))))
                    (client . ((file . "client.scm")))
                    (monitor . ((file . "monitor.scm") (ports . (8080))))))
          (rolesDistribution . ((server . 1) (client . ,(setup "clients" 2)) (monitor . ("watch"))))
          (testScript . "server.wait_for_open_port(2049)\\n"))
        """
    )
    in_scheme = builder(trusted=True).evaluate(str(composition), {"clients": 5})
    assert in_scheme.roles == in_yaml.roles
    assert in_scheme.distribution == {"server": 1, "client": 5, "monitor": ["watch"]}
    assert in_scheme.test_script == "server.wait_for_open_port(2049)\n"


# -- building ------------------------------------------------------------------------------------------------------


def stub(
    make: MakeBuilder,
    composition: Path,
    tmp_path: Path,
    format_: str,
    roles: list[str],
    setup: dict[str, t.Any] | None = None,
) -> dict[str, str]:
    """Outputs for the images of roles and for the systems in them: role → path of the image."""
    payload = tmp_path / "payload"
    payload.write_bytes(b"image" * 100)
    system = tmp_path / "system"
    system.mkdir(exist_ok=True)
    (system / "parameters").write_text("")
    (system / "compose-numbers").write_text("user root 0\nuser sshd 989\ngroup root 0\n")
    planned = make()._plan(str(composition), setup or {}, roles, [format_])[-1]
    made = {}
    for role in roles:
        image = planned[role][format_]
        register_stub(image.system, system, "hello-2.12.1", "bash-5.2.37", "bash-5.2.37-doc", "shepherd.conf")
        made[role] = register_stub(image.derivation, payload)
    return made


@pytest.mark.parametrize("format_", ["qcow2", "oci"])
def test_builds_with_stub_output_of_the_image(
    format_: str, builder: MakeBuilder, composition: Path, tmp_path: Path, said: Path
) -> None:
    make = builder()
    roots = tmp_path / "roots"
    identity = make.identify(str(composition), {}, ["server"], [format_])["server"]
    output = stub(builder, composition, tmp_path, format_, ["server"])["server"]
    assert make.is_built(str(composition), {}, ["server"], [format_]) == {"server": True}

    image = make.build(str(composition), {}, ["server"], [format_], str(roots))["server"]

    assert image == read_image(str(roots / identity))
    assert (image.builder, image.role, image.identity) == ("guix", "server", identity)
    assert image.identity_file == SYSTEM_LINK
    assert (image.numbers.users, image.numbers.groups) == ({"root": 0, "sshd": 989}, {"root": 0})
    assert os.path.realpath(image.path(format_)) == output
    assert image.formats[format_].size == 500
    assert [(package.name, package.version) for package in image.packages] == [
        ("bash", "5.2.37"),
        ("bash", "5.2.37"),
        ("hello", "2.12.1"),
    ]
    assert image.volumes["shared"].size == 256
    assert os.readlink(roots / f"{identity}+{format_}") == output
    assert str(roots / f"{identity}+{format_}") in guix("gc", "--list-roots")
    assert make.build(str(composition), {}, ["server"], [format_], str(roots))["server"] == image

    # The root protects it, until it is removed.
    refused = subprocess.run(["guix", "gc", "--delete", output], capture_output=True, check=False, timeout=60)
    assert refused.returncode != 0
    (roots / f"{identity}+{format_}").unlink()
    forget(output)
    assert make.is_built(str(composition), {}, ["server"], [format_]) == {"server": False}


def test_a_build_without_network_says_what_failed(builder: MakeBuilder, composition: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as error:
        builder().build(str(composition), {}, ["client"], ["qcow2"], str(tmp_path / "roots"))
    assert error.value.failure is not None
    assert error.value.failure.kind == "fetch"
    assert ".drv' failed" in error.value.failure.message


def test_ansible_playbook_builds_with_stub_output_of_the_images(
    builder: MakeBuilder, composition: Path, tmp_path: Path
) -> None:
    stub(builder, composition, tmp_path, "qcow2", ROLES, {"network": "10.99.0.0/16"})
    deployment = tmp_path / "lab.compose.yml"
    content = {
        "plugin": "immutable.compose.composition",
        "composition": str(composition),
        "builder": {"name": "guix", "grafts": False},
        "platform": "nspawn",
        "name": "lab-guix",
        "state_dir": str(tmp_path / "state"),
        "setup": {"network": "10.99.0.0/16"},
    }
    deployment.write_text(yaml.safe_dump(content))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(deployment)]
    command += [str(ROOT / "playbooks/build.yml"), "-e", json.dumps({"compose_formats": ["qcow2"]})]
    done = subprocess.run(
        command,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    bundles = sorted(path.parent for path in (tmp_path / "state/lab-guix/roots").glob("*/image.json"))
    assert sorted(read_image(str(bundle)).role for bundle in bundles) == ROLES


# -- faults in the composition -------------------------------------------------------------------------------------

FAULTS = {
    "syntax": ("(use-modules (gnu))\n(operating-system\n", "missing closing parenthesis", 3),
    "unbound": ("(use-modules (gnu))\n(string-append\n nosuch)", "nosuch: unbound variable", 3),
    "field": ('(use-modules (gnu))\n(operating-system\n  (host-name "a"))', "missing field initializers", 2),
    "module": ("(use-modules (gnu packages nosuch))", "no code for module (gnu packages nosuch)", None),
    "value": ("42", "does not return an operating system", None),
}


@pytest.mark.parametrize(("text", "message", "line"), FAULTS.values(), ids=FAULTS)
def test_faults_of_a_file_are_told_with_their_place(
    text: str, message: str, line: int | None, builder: MakeBuilder, composition: Path
) -> None:
    file = composition / "client.scm"
    file.write_text(text)
    with pytest.raises(EvaluationError, match="client.scm does not evaluate") as error:
        builder().identify(str(composition), {}, ["client"], ["qcow2"])
    failure = error.value.failure
    assert failure is not None
    assert (failure.kind, failure.tool) == ("evaluation", "guix")
    assert message in failure.message
    assert failure.line == line
    if line is not None:
        assert failure.file == str(file)


def test_a_daemon_that_is_not_there_is_told(builder: MakeBuilder, composition: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="make sure that guix-daemon is running") as error:
        builder(daemon_socket=str(tmp_path / "nosuch")).identify(str(composition), {}, ["client"], ["qcow2"])
    assert error.value.failure is not None
    assert error.value.failure.kind == "daemon"


def test_types_are_those_that_guix_has() -> None:
    known = set(re.findall(r"- (\S+)", guix("system", "image", "--list-image-types")))
    assert set(TYPES.values()) <= known
