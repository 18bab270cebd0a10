"""Failures of every kind, caused with the Nix of this host and told apart by its words."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, EvaluationError, Failure
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import write_build

SETTINGS = {"sandbox": "false", "filter-syscalls": "false", "download-attempts": "1"}
HASH = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def nix() -> Nix:
    return Nix(Progress(), SETTINGS)


def realise(file: str, *options: str) -> None:
    nix().realise(nix().instantiate(file, ["a"], {}), BuildLog(Progress(), str), lambda: "", *options)


def failure_of(error: pytest.ExceptionInfo[t.Any]) -> Failure:
    assert error.value.failure is not None, str(error.value)
    return t.cast(Failure, error.value.failure)


BUILDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "exit code": ("echo on the way; exit 3", (), "build"),
    "no output": ("true", (), "build"),
    "too long": ("/bin/sleep 30", ("--timeout", "1"), "timeout"),
    "too long silent": ("/bin/sleep 30", ("--max-silent-time", "1"), "timeout"),
    "no builds here": ("echo > $out", ("--max-jobs", "0"), "system"),
}


@pytest.mark.parametrize(("commands", "options", "kind"), BUILDS.values(), ids=BUILDS)
def test_builds(commands: str, options: tuple[str, ...], kind: str, own_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as error:
        realise(write_build(tmp_path, commands), *options)
    failure = failure_of(error)
    assert failure.kind == kind
    assert failure.message


def test_what_a_builder_said_last_is_told(own_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="on the way"):
        realise(write_build(tmp_path, "echo on the way; exit 3"))


def test_another_hash(own_store: Path, tmp_path: Path) -> None:
    file = write_build(tmp_path, "echo other > $out")
    text = Path(file).read_text()
    fixed = f'name = "a"; outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "{HASH}";'
    Path(file).write_text(text.replace('name = "a";', fixed))
    with pytest.raises(ComposeError, match=HASH) as error:
        realise(file)
    assert failure_of(error).kind == "hash-mismatch"


def test_not_reproducible(own_store: Path, tmp_path: Path) -> None:
    file = write_build(tmp_path, f"echo x >> {tmp_path}/count; read -r x < /proc/uptime; echo $x > $out")
    realise(file)
    with pytest.raises(ComposeError) as error:
        realise(file, "--check")
    assert failure_of(error).kind == "not-reproducible"


def test_reproducible(own_store: Path, tmp_path: Path) -> None:
    file = write_build(tmp_path, f"echo x >> {tmp_path}/count; echo same > $out")
    realise(file)
    realise(file, "--check")
    assert (tmp_path / "count").read_text() == "x\nx\n"


def test_built_again_in_other_surroundings(own_store: Path, tmp_path: Path) -> None:
    """What takes the number of processors from its surroundings differs, and is named by its path."""
    commands = "/bin/mkdir -p $out/sub; echo same > $out/a; echo $NIX_BUILD_CORES > $out/sub/b; /bin/ln -s a $out/c"
    file = write_build(tmp_path, commands)
    use = nix()
    parts = use.instantiate(file, ["a"], {})
    log = BuildLog(Progress(), str)
    use.realise(parts, log, lambda: "", "--cores", "3")
    found = use.rebuild(parts, log, lambda: "")
    assert "may not be deterministic" in found and found.endswith(": /sub/b")
    assert list(tmp_path.glob("nix-build-*")) == []
    Path(file).write_text(Path(file).read_text().replace("$NIX_BUILD_CORES", "same"))
    parts = use.instantiate(file, ["a"], {})
    use.realise(parts, log, lambda: "", "--cores", "3")
    assert use.rebuild(parts, log, lambda: "") == ""


def test_a_system_that_this_host_is_not(own_store: Path, tmp_path: Path) -> None:
    file = write_build(tmp_path, "echo > $out")
    Path(file).write_text(Path(file).read_text().replace("builtins.currentSystem", '"riscv64-linux"'))
    with pytest.raises(ComposeError) as error:
        realise(file)
    assert failure_of(error).kind == "system"


def test_no_daemon(own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIX_REMOTE", f"unix://{tmp_path}/nosuch")
    with pytest.raises(ComposeError, match="make sure that the Nix daemon is running") as error:
        nix().instantiate(write_build(tmp_path, "true"), ["a"], {})
    assert failure_of(error).kind == "daemon"


def test_a_source_that_cannot_be_fetched(own_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "default.nix"
    fetch = 'builtins.fetchurl { url = "http://127.0.0.1:1/a.tar.gz"; sha256 = "' + "0" * 52 + '"; }'
    file.write_text(f"{{ }}: {{ a = {fetch}; }}")
    with pytest.raises(ComposeError) as error:
        nix().evaluate(int, str(file), "a", {}, store=True)
    assert failure_of(error).kind == "fetch"


EVALUATIONS = {
    "syntax": ("{ }: {\n  a = ;\n}", 2),
    "undefined variable": ("{ }: {\n  a = x;\n}", 2),
    "missing attribute": ("{ }: {\n  a =\n    { }.b;\n}", 3),
    "throw": ('{ }: { a = throw "my own words"; }', None),
    "assertion": ("{ }: {\n  a = assert 1 == 2; 1;\n}", 2),
    "no such attribute": ("{ }: { b = 1; }", None),
}


@pytest.mark.parametrize(("text", "line"), EVALUATIONS.values(), ids=EVALUATIONS)
def test_evaluations(text: str, line: int | None, own_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "default.nix"
    file.write_text(text)
    with pytest.raises(EvaluationError) as error:
        nix().evaluate(int, str(file), "a", {})
    failure = failure_of(error)
    assert (failure.kind, failure.tool) == ("evaluation", "nix")
    assert failure.message.startswith("error:")
    if "throw" in text:
        assert "my own words" in failure.message
    if line is not None:
        assert (failure.file, failure.line) == (str(file), line)
