"""What the builder ``guix`` reads and refuses, without Guix."""

from __future__ import annotations

import datetime
import json
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.composition import read_composition
from ansible_collections.immutable.compose.plugins.module_utils.describe import load
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError, MissingProgramError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import RoleMachine

from ..conftest import REPOSITORY
from .conftest import PINNED, Write, builder

EXAMPLE = REPOSITORY / "compositions/nfs-guix"


def test_the_example_is_read_without_guix(progress: Path) -> None:
    composition = builder(progress).evaluate(str(EXAMPLE), {})
    assert (composition.name, composition.builder) == ("nfs-guix", "guix")
    assert sorted(composition.roles) == ["client", "monitor", "server"]
    server = composition.roles["server"]
    assert (server.identity, server.ports, server.volumes["shared"].size) == (None, (2049,), 256)
    assert composition.distribution == {"client": 2}
    assert "server.wait_for_open_port(2049)" in composition.test_script


def test_a_test_script_may_be_a_file(write: Write, progress: Path) -> None:
    path = write({"roles": {"server": {"file": "a.scm"}}, "testScript": {"file": "checks.py"}})
    with pytest.raises(InputError, match=r"testScript\.file: .*checks\.py cannot be read: No such file"):
        builder(progress).evaluate(path, {})
    Path(path, "checks.py").write_text("server.succeed('true')\n")
    assert builder(progress).evaluate(path, {}).test_script == "server.succeed('true')\n"


def test_the_digest_is_that_of_all_that_counts(lab: str, progress: Path, tmp_path: Path) -> None:
    def digest(**options: t.Any) -> str:
        return builder(progress, **options).evaluate(lab, {}).digest

    shared = tmp_path / "shared"
    shared.mkdir()
    first = digest()
    assert digest() == first
    assert builder(progress).evaluate(lab, {"a": 1}).digest != first
    assert digest(target="aarch64-linux-gnu") != first
    assert digest(daemon_socket="/run/elsewhere") == first
    Path(lab, "b.scm").write_text("(use-modules (gnu) (guix))")
    second = digest(load_path=[".", str(shared)])
    assert second != digest()
    (shared / "base.scm").write_text("(define-module (base))")
    assert digest(load_path=[".", str(shared)]) != second


def test_channels_are_the_lock(lab: str, progress: Path) -> None:
    assert builder(progress).evaluate(lab, {}).lock is None
    Path(lab, "channels.scm").write_text(PINNED)
    assert builder(progress).evaluate(lab, {}).lock is not None
    Path(lab, "channels.scm").write_text("%default-channels")
    with pytest.raises(InputError, match=r"channels\.scm pins no commit"):
        builder(progress).evaluate(lab, {})
    with pytest.raises(InputError, match=r"option channels .* there is no file .*other\.scm"):
        builder(progress, channels="other.scm").evaluate(lab, {})


REFUSED: dict[str, tuple[t.Any, str]] = {
    "no mapping": ([1], "expected a mapping with the key 'roles'"),
    "no roles": ({"testScript": ""}, "roles: is missing"),
    "no file": ({"roles": {"server": {}}}, r"roles\.server: has no file, expected 'file', with 'variable' if"),
    "file and module": (
        {"roles": {"server": {"file": "a.scm", "module": "(lab web)", "variable": "web"}}},
        r"roles\.server: has file and module and variable, expected 'file'",
    ),
    "module without variable": ({"roles": {"server": {"module": "(lab web)"}}}, r"roles\.server: has module, expected"),
    "name of a module": (
        {"roles": {"server": {"module": "lab web", "variable": "web"}}},
        r"roles\.server\.module: 'lab web' does not match",
    ),
    "machines that are not there": ({"machines": "deploy.scm"}, r"machines: there is no file 'deploy\.scm'"),
    "file that is not there": (
        {"roles": {"server": {"file": "c.scm"}}},
        r"roles\.server\.file: there is no file 'c.scm'",
    ),
    "unknown key": ({"roles": {"server": {"file": "a.scm", "prots": [1]}}}, "prots: unknown attribute.*ports"),
    "port": ({"roles": {"server": {"file": "a.scm", "ports": ["http"]}}}, r"ports\[0\]: 'http' is not of type"),
    "number for a role": ({"roles": {1: {"file": "a.scm"}}}, "composition.roles has the key 1, expected a string"),
    "date": (
        {"roles": {"server": {"file": "a.scm", "description": datetime.date(2026, 1, 2)}}},
        "composition.roles.server.description is the date 2026-01-02, expected plain data",
    ),
    "role name": ({"roles": {"../a": {"file": "a.scm"}}}, "not the name of a role"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_composition_is_refused(content: t.Any, message: str, tmp_path: Path, progress: Path) -> None:
    directory = tmp_path / "lab"
    directory.mkdir()
    (directory / "a.scm").write_text("")
    (directory / "composition.yml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=message) as error:
        builder(progress).evaluate(str(directory), {})
    assert str(directory / "composition.yml") in str(error.value)


def test_yaml_that_is_none_is_refused_with_its_place(lab: str, progress: Path) -> None:
    Path(lab, "composition.yml").write_text("roles: {server: [}")
    with pytest.raises(InputError, match=r"not valid YAML(.|\n)*line 1, column"):
        builder(progress).evaluate(lab, {})


def test_one_of_yaml_and_scheme(lab: str, progress: Path) -> None:
    Path(lab, "composition.scm").write_text("'()")
    with pytest.raises(InputError, match="there is both"):
        builder(progress).evaluate(lab, {})


def test_scheme_needs_guix_or_a_manifest(lab: str, progress: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = builder(progress, trusted=True)
    manifest = load.manifest(make.evaluate(lab, {}))
    Path(lab, "composition.yml").rename(Path(lab, "composition.scm"))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingProgramError, match="'guix'"):
        make.evaluate(lab, {})
    with pytest.raises(InputError, match=r"has no composition\.json, and cannot be evaluated here"):
        load.load(lab, {}, make)
    Path(lab, "composition.json").write_text(json.dumps(codec.encode(manifest)))
    assert sorted(load.load(lab, {}, make).roles) == ["client", "server"]


MACHINES = [{"name": "front", "machine": {"host": "192.0.2.7", "user": "alice", "port": 22, "key": None}}]


@pytest.mark.parametrize(
    ("roles", "found", "message"),
    [
        ({"fornt": {}}, MACHINES, r"roles\.fornt: .*deploy\.scm has no such machine; did you mean 'front'"),
        ({"front": {"file": "a.scm"}}, MACHINES, r"roles\.front\.file: the operating system is that of the machine"),
        ({}, MACHINES * 2, "two machines have the host name 'front'"),
    ],
)
def test_machines_that_are_refused(write: Write, roles: t.Any, found: t.Any, message: str) -> None:
    path = write({"machines": "deploy.scm", "roles": roles})
    Path(path, "deploy.scm").touch()
    with pytest.raises(InputError, match=message):
        read_composition(path, lambda _program, _file: found)


def test_machines_are_roles(write: Write) -> None:
    path = write({"machines": "deploy.scm", "roles": {"front": {"ports": [443]}}})
    Path(path, "deploy.scm").touch()
    composition = read_composition(path, lambda _program, _file: MACHINES)
    assert composition.roles["front"].machine == RoleMachine("192.0.2.7", "alice", 22)
    assert composition.roles["front"].ports == (443,)
    assert composition.system("front") == f'((@ (compose machines) system-of) "{path}/deploy.scm" "front")'
