"""Running other programs, and what is said when they are missing or fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, MissingProgramError
from ansible_collections.immutable.compose.plugins.module_utils.process import PACKAGES, need, run

from .conftest import HostWithout

MODULE_UTILS = Path(__file__).parents[2] / "plugins/module_utils"


def programs() -> set[str]:
    """Programs that the collection starts: literal arguments of ``need`` and ``missing``, what is called ``programs``,
    first words of the commands of ``run``."""
    found: set[str] = set()
    for path in MODULE_UTILS.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Assign) and getattr(call.targets[0], "id", "") == "programs":
                found |= {str(word.value) for word in ast.walk(call.value) if isinstance(word, ast.Constant)}
            if isinstance(call, ast.Call) and call.args:
                first: t.Sequence[ast.expr] = call.args[0].elts[:1] if isinstance(call.args[0], ast.List) else ()
                called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                words = call.args if called in ("need", "missing") else first if called in ("run", "_run") else ()
                found |= {
                    word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)
                }
    return found


def test_programs_that_the_collection_starts_are_found() -> None:
    assert {"apt-get", "dpkg-deb", "git", "ip", "nix-store", "systemd-nspawn", "unsquashfs"} <= programs()


@pytest.mark.parametrize("program", sorted({*programs(), *PACKAGES} - {"guix"}))  # in newer releases of Debian only
def test_the_package_that_is_named_has_the_program(program: str) -> None:
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    assert path is not None
    # What update-alternatives chose counts, and dpkg may know /usr/bin/… as /bin/….
    names = {path, os.path.realpath(path)}
    places = {f"{usr}/{name.removeprefix('/usr').lstrip('/')}" for name in names for usr in ("", "/usr")}
    owners = subprocess.run(["dpkg", "-S", *places], capture_output=True, text=True, check=False).stdout
    assert PACKAGES.get(program, program) in {line.split(":")[0] for line in owners.splitlines()}


def test_a_missing_program_is_named_with_its_package(host_without: HostWithout, tmp_path: Path) -> None:
    host_without("unsquashfs")
    message = "the program 'unsquashfs' is not installed; on Debian it is in the package 'squashfs-tools'"
    for refused in (lambda: need("sh", "unsquashfs"), lambda: run(["unsquashfs", "-d", str(tmp_path)], timeout=5)):
        with pytest.raises(MissingProgramError) as caught:
            refused()
        assert str(caught.value) == message


def test_a_failure_says_command_exit_code_and_last_lines() -> None:
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "seq 100 >&2; exit 4"], timeout=5)
    lines = str(caught.value).splitlines()
    assert lines[0] == "command failed (exit code 4): sh -c 'seq 100 >&2; exit 4'"
    assert lines[1:] == [str(number) for number in range(81, 101)]


def test_lines_are_told_as_they_come_and_output_is_kept() -> None:
    told: list[str] = []
    done = run(
        ["sh", "-c", 'read word; echo "$word"; echo one >&2; echo two >&2'], timeout=5, stdin="in", on_line=told.append
    )
    assert (done.stdout, done.stderr, told) == ("in\n", "one\ntwo\n", ["one", "two"])


def test_a_program_that_does_not_read_its_input_fails_by_its_own_words() -> None:
    with pytest.raises(CommandError, match=r"exit code 3\)[\s\S]*\nrefused"):
        run(["sh", "-c", "exec <&-; echo refused >&2; exit 3"], timeout=5, stdin="x" * 1_000_000)


def test_over_time_a_program_is_killed_with_its_children(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(CommandError, match=r"timed out after 3 s\): sh"):
        run(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"], timeout=3)
    assert time.monotonic() - start < 300
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    assert not child.exists() or b"sleep" not in child.read_bytes()
