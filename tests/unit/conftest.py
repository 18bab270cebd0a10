"""What tests of all rooms share: being an ordinary user for a while, a small disk, a host that lacks programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import typing as t
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.process import PACKAGES

NOBODY = 65534
#: These take longest: started last, one of them would leave the other processes of pytest without work.
LONGEST = "travel"

AsNobody = t.Callable[[], AbstractContextManager[None]]
HostWithout = t.Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name != LONGEST)


@contextmanager
def _nobody() -> t.Iterator[None]:
    """An ordinary user, where the tests run as root; children cannot become root again."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def as_nobody() -> AsNobody:
    """Makes the body of a ``with`` run without privileges."""
    return _nobody


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Path]:
    """A directory that everybody may read, unlike ``tmp_path``; also the home directory."""
    path = Path(tempfile.mkdtemp(prefix="compose-test-"))
    path.chmod(0o755)
    monkeypatch.setenv("HOME", str(path))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> t.Iterator[Path]:
    """A file system with 8 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def host_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostWithout:
    """Leaves the programs that the collection asks for in ``PATH``, but for one."""

    def lacking(program: str) -> None:
        directory = tmp_path / "bin"
        directory.mkdir()
        for name in {*PACKAGES, "git", "sh", "tar"} - {program}:
            path = shutil.which(name)
            assert path is not None, name
            (directory / name).symlink_to(path)
        monkeypatch.setenv("PATH", str(directory))

    return lacking
