"""Real builds by a real daemon: derivations that need nothing but a busybox, their failures, their reproducibility."""

from __future__ import annotations

import os
import secrets
import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.command import Guix
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import DATA, guix


@pytest.fixture
def tool(said: Path) -> Guix:
    return Guix(Progress(str(said)), "", "", "{}")


@pytest.fixture
def derive(tmp_path: Path) -> t.Callable[..., str]:
    """A derivation that runs these commands; never the same twice."""
    busybox = tmp_path / "busybox"
    (busybox / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", busybox / "bin/busybox")

    def make(commands: str, fixed: str = "") -> str:
        environment = {"BUSYBOX": str(busybox), "NAME": f"test-{secrets.token_hex(4)}", "COMMANDS": commands}
        if fixed:
            environment["HASH"] = fixed
        return guix("build", "-d", "-f", str(DATA / "raw.scm"), **environment)

    return make


Derive = t.Callable[..., str]


def test_a_build(tool: Guix, derive: Derive, said: Path) -> None:
    derivation = derive("echo content > $out")
    output = tool.output(derivation)
    assert not tool.is_valid(output)
    tool.realise("build it", [derivation])
    assert tool.is_valid(output)
    assert Path(output).read_text() == "content\n"
    assert tool.closure(output) == [output]
    assert any(line.startswith("build it: ") and "building test-" in line for line in said.read_text().splitlines())


def test_reproducible(tool: Guix, derive: Derive) -> None:
    derivation = derive("echo content > $out")
    tool.realise("build it", [derivation])
    assert tool.rebuild("again", derivation) == ""


def test_not_reproducible(tool: Guix, derive: Derive) -> None:
    derivation = derive("read -r x < /proc/sys/kernel/random/uuid; echo $x > $out")
    tool.realise("build it", [derivation])
    assert "may not be deterministic" in tool.rebuild("again", derivation)


def test_built_again_in_other_surroundings(tool: Guix, derive: Derive) -> None:
    """What takes the number of processors from its surroundings differs, and is named by its path."""
    derivation = derive("$B mkdir $out; echo same > $out/a; echo $NIX_BUILD_CORES > $out/b")
    tool.realise("build it", [derivation], "--cores=3")
    assert tool.rebuild("again", derivation).endswith("-check': /b")


FAILURES: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "exit code": ("build", "exit 3", (), "failed with exit code 3"),
    "no output": ("build", "true", (), "failed to produce output path"),
    "too long": ("timeout", "$B sleep 30", ("--timeout=1",), "timed out"),
    "too long silent": ("timeout", "$B sleep 30", ("--max-silent-time=1",), "of silence"),
}


@pytest.mark.parametrize(("kind", "commands", "options", "message"), FAILURES.values(), ids=FAILURES)
def test_failures(kind: str, commands: str, options: tuple[str, ...], message: str, tool: Guix, derive: Derive) -> None:
    derivation = derive(commands)
    with pytest.raises(ComposeError) as error:
        tool.realise("build it", [derivation], *options)
    assert error.value.failure is not None
    assert (error.value.failure.kind, error.value.failure.tool) == (kind, "guix")
    assert message in error.value.failure.message


def test_another_hash(tool: Guix, derive: Derive) -> None:
    with pytest.raises(ComposeError, match=r"actual hash") as error:
        tool.realise("build it", [derive("echo content > $out", fixed="00" * 32)])
    assert error.value.failure is not None
    assert error.value.failure.kind == "hash-mismatch"


def test_roots_keep_what_was_built(tool: Guix, derive: Derive, tmp_path: Path) -> None:
    derivation = derive("echo content > $out")
    root = tmp_path / "root"
    tool.realise("build it", [derivation], f"--root={root}")
    assert os.readlink(root) == tool.output(derivation)
    assert str(root) in guix("gc", "--list-roots")


def test_damage_in_the_store_is_found(tool: Guix, derive: Derive) -> None:
    derivation = derive("echo content > $out")
    tool.realise("build it", [derivation])
    output = Path(tool.output(derivation))
    output.write_text("other\n")
    with pytest.raises(AssertionError, match="was modified! expected hash"):
        guix("gc", "--verify=contents")
    guix("gc", "--delete", str(output))
