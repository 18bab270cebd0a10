"""Locks: which mirrors, what is pinned, what is refused. The package lists come from the mirror of this host."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian import builder as debian_module
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.apt import (
    PrivateApt,
    configured_mirrors,
)
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import read_lock
from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY, Compose

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.example/debian/
Suites: bookworm
  bookworm-updates
Components: main contrib

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
deb https://tool.example/apt bookworm stable
deb cdrom:[debian 12]/ bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian bookworm main # comment
deb http://security.example/debian-security bookworm-security main
"""


@pytest.mark.parametrize(
    ("file", "text", "security"),
    [
        ("sources.list.d/debian.sources", DEB822, "http://mirror.example/debian-security"),
        ("sources.list", ONE_LINE, "http://security.example/debian-security"),
    ],
)
def test_mirrors_are_those_of_apt(tmp_path: Path, file: str, text: str, security: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert configured_mirrors(str(tmp_path)) == {"debian": "http://mirror.example/debian", "debian-security": security}


def test_no_debian_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb https://tool.example/apt bookworm stable\n")
    with pytest.raises(InputError, match="no Debian archive .*: write one into .*/sources.list.d, or build on"):
        configured_mirrors(str(tmp_path))


def test_a_package_that_does_not_exist(apt: PrivateApt) -> None:
    with pytest.raises(InputError) as refused:
        apt.check_names(["htop", "nginx-ligth"], "roles.server.packages")
    assert str(refused.value) == (
        "roles.server.packages: the package 'nginx-ligth' does not exist in Debian bookworm; "
        "did you mean 'nginx-light'?"
    )


def test_a_package_that_cannot_be_installed(apt: PrivateApt) -> None:
    with pytest.raises(
        InputError, match=r"roles\.server\.packages: apt cannot resolve systemd-sysv sysvinit-core:[\s\S]*E:"
    ):
        apt.closure(["systemd-sysv", "sysvinit-core"], "roles.server.packages")


def test_a_closure_is_pinned(apt: PrivateApt) -> None:
    closure = apt.closure(["htop"], "roles.server.packages")
    assert {"htop", "libc6", "libnl-3-200"} <= set(closure)
    htop = closure["htop"]
    assert htop.filename.startswith("pool/main/h/htop/htop_")
    assert "//" not in htop.filename
    assert len(htop.sha256) == 64
    assert htop.archive == "debian"
    assert closure == apt.closure(["htop"], "roles.server.packages")


def test_the_lock_of_an_example_has_no_host_and_is_sorted() -> None:
    for name in ("nfs", "web"):
        text = (REPOSITORY / "compositions" / name / "compose.lock.json").read_text()
        lock = json.loads(text)
        assert text == json.dumps(lock, indent=1, sort_keys=True) + "\n"
        assert "://" not in text
        assert not any(mirror.split("/")[2] in text for mirror in configured_mirrors().values())
        used = {name for entry in [*lock["sets"].values(), *lock["roles"].values()] for name in entry["packages"]}
        used |= {entry["kernel"] for entry in lock["roles"].values() if "kernel" in entry}
        assert used == set(lock["packages"])


def test_unreachable_mirror(tmp_path: Path) -> None:
    nowhere = {"debian": "http://127.0.0.1:9/debian"}
    apt = PrivateApt(str(tmp_path), "bookworm", "amd64", nowhere, Progress())
    with pytest.raises(CommandError, match="127.0.0.1"):
        apt.update()


@pytest.mark.usefixtures("fetched")
def test_writes_a_lock_and_finds_it_unchanged(
    debian: Debian, compose: Compose, progress: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compose('{ roles.a = { packages = [ "htop" ]; }; }')
    file, old, new = debian.lock(path, {}, write=False)
    assert old == ""
    assert not Path(file).exists()
    assert "lock: resolving roles.a.packages" in progress.read_text()
    lock = json.loads(new)
    assert lock["roles"]["a"]["requested"] == ["htop"]
    assert "htop" in lock["roles"]["a"]["packages"]
    assert "openssh-server" in lock["sets"]["base"]["packages"]
    assert "messagebus" not in lock["roles"]["a"]["users"]
    assert lock["roles"]["a"]["users"] == sorted(lock["numbers"]["users"])
    assert "sshd" in lock["numbers"]["users"]
    assert "www-data" not in lock["numbers"]["users"]

    monkeypatch.setattr(debian_module, "make_lock", lambda *dummy: json.loads(new))  # apt takes its time
    assert debian.lock(path, {}) == (file, "", new)
    written = Path(file).stat().st_mtime_ns
    assert Path(file).read_text() == new
    assert debian.lock(path, {}) == (file, new, new)
    assert Path(file).stat().st_mtime_ns == written
    assert debian.evaluate(path, {}).roles["a"].identity is not None


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("role", "where"),
    [('packages = [ "no-such-package" ];', "packages"), ('kernel = "no-such-package";', "kernel")],
    ids=["packages", "kernel"],
)
def test_a_missing_package_writes_nothing(debian: Debian, compose: Compose, role: str, where: str) -> None:
    path = compose(f"{{ roles.a = {{ {role} }}; }}")
    with pytest.raises(InputError, match=rf"roles\.a\.{where}: the package 'no-such-package' does not exist"):
        debian.lock(path, {})
    assert read_lock(path) is None


def test_a_lock_names_the_kernel_itself() -> None:
    locked = read_lock(str(REPOSITORY / "compositions/nfs"))
    assert locked is not None
    server = locked.lock.roles["server"]
    assert server.requested_kernel == "linux-image-cloud-amd64"
    assert str(server.kernel)[len("linux-image-")].isdigit()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not valid JSON"),
        (
            '{"schema": "immutable.compose/lock/0"}',
            'lock.schema is "immutable.compose/lock/0".*; run `ansible-playbook',
        ),
        ('{"schema": "immutable.compose/lock/99"}', "a newer version .* wrote it; install that version here$"),
    ],
)
def test_refuses_what_is_no_lock(debian: Debian, compose: Compose, text: str, expected: str) -> None:
    path = compose("{ roles.a = { }; }")
    Path(path, "compose.lock.json").write_text(text)
    with pytest.raises(InputError, match=expected):
        debian.evaluate(path, {})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda lock: lock["roles"]["proxy"]["packages"].append("ghost"),
            "lock.roles.proxy: 'ghost' is not one of its",
        ),
        (
            lambda lock: lock["roles"]["proxy"].update(kernel="--root=x"),
            "lock.roles.proxy: '--root=x' is not one of its",
        ),
        (lambda lock: lock["packages"].pop("libc6"), "lock.sets.essential: 'libc6' is not one of its packages"),
    ],
)
def test_a_lock_that_lacks_a_package_is_refused_by_its_name(
    debian: Debian, compose: Compose, change: t.Callable[[t.Any], None], expected: str
) -> None:
    path = compose('{ roles.proxy.packages = [ "nginx-light" ]; }', lock="web")
    file = Path(path, "compose.lock.json")
    lock = json.loads(file.read_text())
    change(lock)
    file.write_text(json.dumps(lock))
    with pytest.raises(InputError, match=rf"compose\.lock\.json: {expected}.*; run `ansible-playbook"):
        debian.evaluate(path, {})


def test_a_missing_lock_says_how_to_make_one(debian: Debian, compose: Compose) -> None:
    with pytest.raises(
        InputError, match=r"compose\.lock\.json is missing: run `ansible-playbook immutable\.compose\.lock`"
    ):
        debian.build(compose("{ roles.a = { }; }"), {}, ["a"], ["root"], "/nonexistent")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{ roles.proxy.packages = [ "nginx-light" "htop" ]; }',
            "roles.proxy.packages: 'htop' is not locked",
        ),
        ("{ roles.proxy = { }; }", "roles.proxy.packages: 'nginx-light' is locked but no longer wanted"),
        (
            '{ roles.proxy = { packages = [ "nginx-light" ]; kernel = "linux-image-cloud-amd64"; }; }',
            "roles.proxy.kernel is 'linux-image-cloud-amd64', the lock has None",
        ),
        (
            '{ debian.suite = "trixie"; roles.proxy.packages = [ "nginx-light" ]; }',
            "the suite is 'trixie', the lock has 'bookworm'",
        ),
        ("{ roles.proxy = { }; roles.another = { }; }", "role 'another' is not in it"),
    ],
)
def test_a_lock_that_does_not_match_says_where(debian: Debian, compose: Compose, text: str, expected: str) -> None:
    path = compose(text, lock="web")
    roles = ["another"] if "another" in text else ["proxy"]
    for refuse in (
        lambda: debian.identify(path, {}, roles, ["root"]),
        lambda: debian.build(path, {}, roles, ["root"], "/nonexistent"),
    ):
        with pytest.raises(InputError, match="does not match the composition") as refused:
            refuse()
        assert expected in str(refused.value)
