# SPDX-License-Identifier: GPL-3.0-or-later
"""By which way Kadeploy is asked, and where its files are: here, or on a frontend, which an ``ssh`` plays."""

from __future__ import annotations

import os
import stat
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node, Reservation
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.nodes.frontend import Frontend
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import machines
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.platform import Kadeploy
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.store import Store
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.shelf import (
    LocalShelf,
    RemoteShelf,
    Shelf,
)
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import Serve
from .test_command import work_at

#: Runs what comes after the host, as a login shell there does.
SSH = """#!/bin/bash
case " $* " in *' -G '*) printf 'user alice\\nhostname fe.example.org\\n'; exit ;; esac
while [ "$1" != fe ]; do shift; done
shift
eval "$*"
"""


@pytest.fixture
def frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Frontend:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Frontend("fe")


def platform(tmp_path: Path, **options: t.Any) -> Kadeploy:
    (tmp_path / "served").mkdir(exist_ok=True)
    given = {"directory": str(tmp_path / "served"), "machine": "sim-1", **options}
    nodes = (Node("web1", "web", 1, "10.87.0.1", options=given),)
    return Kadeploy(Deployment("lab", "/c", "debian", "kadeploy", nodes, state=str(tmp_path / "state")), Progress())


API: dict[str, t.Any] = {"backend": "grid5000", "site": "grenoble"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "the option 'url' is missing in the deployment file, which backend: rest needs"),
        ({"url": "http://k", "directory": None}, "the option 'directory' is missing in the deployment file"),
        ({"url": "http://k", "site": "grenoble"}, "site is given, which backend: rest does not use"),
        ({"backend": "command", "url": "http://k"}, "url is given, which backend: command does not use"),
        ({"backend": "command", "user": "bob"}, "user is given, which backend: command does not use"),
        ({"backend": "command", "ssh_config": "/c"}, "ssh_config is given without frontend"),
        ({"backend": "grid5000"}, "the option 'site' is missing in the deployment file, which backend: grid5000"),
        (API, "directory_url is missing, expected a web address: backend: grid5000 takes descriptions"),
        ({**API, "directory_url": "server:///home/alice"}, "expected a web address"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict[str, t.Any], words: str) -> None:
    chosen = platform(tmp_path, **options)
    with pytest.raises(InputError, match=words):
        refuse(chosen.check(chosen.deployment.nodes))


def test_a_frontend_that_cannot_be_reached(tmp_path: Path) -> None:
    chosen = platform(tmp_path, backend="command", frontend="ssh://alice@127.0.0.1:9")
    with pytest.raises(ComposeError, match="the frontend alice@127.0.0.1:9 cannot be reached"):
        refuse(chosen.check(chosen.deployment.nodes))


def test_no_ssh_key(tmp_path: Path, frontend: Frontend) -> None:
    """Asked for whatever it is: as who runs machines there, as who copies images there, and as who reserves them."""
    (tmp_path / "bin/ssh").write_text(
        "#!/bin/sh\ncase \" $* \" in *' -G '*) printf 'user alice\\nhostname fe.example.org\\n'; exit ;; esac\n"
        "echo 'alice@fe.example.org: Permission denied (publickey).' >&2; exit 255\n"
    )
    says = "no login as alice@fe.example.org: it does not accept the user's keys"
    ways: list[dict[str, t.Any]] = [
        {"backend": "command", "frontend": frontend.target},
        {"url": "http://127.0.0.1:9", "frontend": frontend.target},
    ]
    for options in ways:
        chosen = platform(tmp_path, **options)
        with pytest.raises(ComposeError, match=says):
            refuse(chosen.check(chosen.deployment.nodes))
    wanted = Reservation(1, "1:0:0", "compose-lab", frontend=frontend.target)
    deployment = replace(platform(tmp_path, backend="command").deployment, reservation=wanted)
    reserved = Kadeploy(deployment, Progress())
    with pytest.raises(ComposeError, match=says):
        refuse(reserved.check(reserved.deployment.nodes))


def test_commands_and_files_on_a_frontend(
    serve: Serve, tmp_path: Path, frontend: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_at(serve(), tmp_path / "home", monkeypatch)
    chosen = platform(tmp_path, backend="command", frontend="fe")
    refuse(chosen.check(chosen.deployment.nodes))
    stranger = platform(tmp_path, backend="command", frontend="fe", machine="sim-9")
    with pytest.raises(InputError, match="Kadeploy on alice@fe.example.org has no machine 'sim-9'"):
        refuse(stranger.check(stranger.deployment.nodes))
    nowhere = platform(tmp_path, backend="command", frontend="fe", directory=f"{tmp_path}/nowhere")
    with pytest.raises(ComposeError, match="directory .*/nowhere of alice@fe.example.org does not exist"):
        refuse(nowhere.check(nowhere.deployment.nodes))


@pytest.fixture(params=["local", "remote"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, frontend: Frontend) -> Shelf:
    if request.param == "local":
        return LocalShelf(str(tmp_path / "above"), "own er")
    return RemoteShelf(frontend, str(tmp_path / "above"), "own er")


def test_a_shelf(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="does not exist, or cannot be written to"):
        shelf.require()
    (tmp_path / "above").mkdir()
    shelf.require()
    assert shelf.names() == []
    shelf.drop(["nothing"])
    (tmp_path / "file").write_bytes(b"\0one")
    shelf.put("a.tar", str(tmp_path / "file"))
    (tmp_path / "file").write_bytes(b"two")
    shelf.put("a.tar", str(tmp_path / "file"))
    shelf.put("b", str(tmp_path / "file"))
    assert sorted(shelf.names()) == ["a.tar", "b"]
    directory = tmp_path / "above/own er"
    assert (directory / "a.tar").read_bytes() == b"two"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "b")] == [0o711, 0o644]
    shelf.drop(["b", "nothing"])
    assert shelf.names() == ["a.tar"]
    shelf.remove()
    shelf.remove()
    assert not directory.exists()


def test_what_has_its_name_on_a_shelf_is_on_the_disk(
    tmp_path: Path, frontend: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("above", "bin"):
        (tmp_path / name).mkdir(exist_ok=True)
    synced = tmp_path / "synced"
    fsync = os.fsync

    def sync(handle: int) -> None:
        synced.write_text(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    (tmp_path / "bin/sync").write_text(f'#!/bin/sh\nrealpath "$1" >{synced}\n')
    (tmp_path / "bin/sync").chmod(0o755)
    for shelf in (LocalShelf(str(tmp_path / "above"), "own"), RemoteShelf(frontend, str(tmp_path / "above"), "own")):
        synced.write_text("")
        shelf.put("a.tar", __file__)
        assert synced.read_text().startswith(f"{tmp_path}/above/own/.a.tar.")


def test_only_what_is_not_there_travels(tmp_path: Path, frontend: Frontend) -> None:
    shelf, content, sent = RemoteShelf(frontend, str(tmp_path / "above"), "own"), os.urandom(1 << 20), tmp_path / "sent"
    (tmp_path / "above").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH.replace('eval "$*"', f'eval "$*" < <(tee {sent})'))
    (tmp_path / "one").write_bytes(content)
    changed = content[: 1 << 19] + b"one line more" + content[1 << 19 :]
    (tmp_path / "two").write_bytes(changed)
    (tmp_path / "bundle").symlink_to("one")  # of an image, all files are links
    shelf.put("one.tar", str(tmp_path / "bundle"))
    assert sent.stat().st_size > len(content)
    shelf.put("two.tar", str(tmp_path / "two"), "one.tar")
    assert sent.stat().st_size < len(content) / 50
    assert sorted(shelf.names()) == ["one.tar", "two.tar"] and shelf.names()[0] == "two.tar"
    assert [(tmp_path / f"above/own/{name}.tar").read_bytes() for name in ("one", "two")] == [content, changed]


def test_a_connection_that_breaks_while_an_image_travels(tmp_path: Path, frontend: Frontend) -> None:
    shelf, content, sent = RemoteShelf(frontend, str(tmp_path / "above"), "own"), os.urandom(4 << 20), tmp_path / "sent"
    (tmp_path / "above").mkdir()
    (tmp_path / "file").write_bytes(content)
    breaks = 'eval "$*" < <(stdbuf -o0 head -c 3000000) 2>/dev/null; echo Broken pipe >&2; exit 255'
    (tmp_path / "bin/ssh").write_text(SSH.replace('eval "$*"', breaks))
    with pytest.raises(ComposeError, match=r"the frontend alice@fe.example.org cannot be reached.*\n.*Broken pipe"):
        shelf.put("a.tar", str(tmp_path / "file"))
    (tmp_path / "bin/ssh").write_text(SSH.replace('eval "$*"', f'eval "$*" < <(tee {sent})'))
    assert shelf.names() == [".a.tar.part"], "nobody takes it for whole"
    shelf.put("a.tar", str(tmp_path / "file"))
    assert sent.stat().st_size < 2 << 20, "half of it was there"
    assert shelf.names() == ["a.tar"] and (tmp_path / "above/own/a.tar").read_bytes() == content


def test_a_frontend_without_rsync(tmp_path: Path, frontend: Frontend) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few/sh").symlink_to("/bin/sh")
    (tmp_path / "bin/ssh").write_text(SSH.replace('eval "$*"', f'PATH={tmp_path}/few; eval "$*"'))
    with pytest.raises(ComposeError, match="rsync is not installed on alice@fe.example.org"):
        RemoteShelf(frontend, str(tmp_path), "own").require()


def test_an_image_begins_with_the_newest_of_its_role(tmp_path: Path) -> None:
    class Kept(LocalShelf):
        """Remembers what was to be like what."""

        def put(self, name: str, source: str, like: str = "") -> None:
            told.append(like)
            super().put(name, source)

        def names(self) -> list[str]:
            return sorted(super().names(), reverse=True)

    told: list[str] = []
    store = Store(Kept(str(tmp_path), "own"), "http://web/own", lambda: "secret")
    for identity in ("1-lab-web", "2-lab-web", "3-lab-db", "4-lab-web", "5-lab-mail"):
        file = ImageFile(__file__, 1, "0" * 64)
        store.put_image(Image("web", "debian", identity, "amd64", {"installed": file}))
    assert [name.partition(".")[0] for name in told] == ["", "1-lab-web", "2-lab-web", "2-lab-web", "4-lab-web"]


def test_names_of_descriptions_are_ours_only(tmp_path: Path) -> None:
    store = Store(LocalShelf(str(tmp_path), "own"), "http://web/own", lambda: "secret")
    address = store.publish("compose-lab-web-12", {"name": "x"})
    assert store.name_at(address) == "compose-lab-web-12"
    assert store.name_at(address.replace("lab", "other")) == store.name_at("debian12-min") == ""
    assert store.name_at(address.replace("/own/", "/theirs/")) == ""
    store.drop_documents("compose-lab-web-12")
    assert list((tmp_path / "own").iterdir()) == []


def test_what_this_host_does_not_know_is_asked_of_the_frontend(
    frontend: Frontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "_resolve", lambda machine: "192.0.2.7" if machine == "known" else "")
    (tmp_path / "bin/getent").write_text('#!/bin/sh\n[ "$2" = sim-1 ] && echo "192.0.2.1 STREAM sim-1"\n')
    (tmp_path / "bin/getent").chmod(0o755)
    assert machines.addresses(["known", "sim-1", "sim-2"], frontend) == {"known": "192.0.2.7", "sim-1": "192.0.2.1"}
    assert machines.addresses(["known", "sim-1"]) == {"known": "192.0.2.7"}
