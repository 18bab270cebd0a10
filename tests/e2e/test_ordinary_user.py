# SPDX-License-Identifier: GPL-3.0-or-later
"""A user who is not root builds what root builds: the real programs, as a user that only these processes have."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
from lab import BIN, PATIENCE, ROOT, Lab

pytestmark = pytest.mark.story

USER, NUMBER, LENT = "person", 54321, 600000
#: Runs its arguments as the user. Files of this machine are hidden by others, for these processes only; and what lies
#: in the home of root, as an interpreter may, can be read.
AS_USER = f"""
set -eu
there=$1
shift
for file in passwd group subuid subgid; do mount --bind "$there/$file" "/etc/$file"; done
mount -t tmpfs tmpfs "$there/root"
mkdir "$there/root/upper" "$there/root/work"
mount -t overlay -o "lowerdir=/root,upperdir=$there/root/upper,workdir=$there/root/work" overlay /root
exec setpriv --reuid {NUMBER} --regid {NUMBER} --clear-groups "$@"
"""


class Ordinary(Lab):
    """A lab of the user's own."""

    def command(self, *command: str) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", AS_USER, "sh", str(self.directory / "etc"), *command]

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in super().environment().items() if not key.startswith("XDG_")}
        return {**kept, "HOME": str(self.directory), "USER": USER}

    def run(self, *command: str, **environment: str) -> str:
        """What a program says."""
        done = subprocess.run(
            self.command(*command),
            cwd=self.directory,
            env={**self.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return f"{done.stdout}\nexit code {done.returncode}\n"

    def build(self, **environment: str) -> str:
        program = str(BIN / "ansible-playbook")
        return self.run(program, "-i", str(self.inventory), "immutable.compose.build", **environment)

    def lend(self, many: int) -> None:
        for file in ("subuid", "subgid"):
            (self.directory / "etc" / file).write_text(f"{USER}:{LENT}:{many}\n" if many else "")

    @property
    def store(self) -> Path:
        return self.directory / ".local/share/immutable-compose/nix/store"


@pytest.fixture(scope="module")
def lab() -> t.Iterator[Ordinary]:
    directory = Path(tempfile.mkdtemp(prefix="compose-person-"))
    lab = Ordinary(directory, "web", {"platform": "qemu", "roles": {"proxy": 0, "backend": 0}})
    del lab.deployment["state_dir"]
    lab.write()
    lab.drop_test_script()
    (directory / "etc" / "root").mkdir(parents=True)
    for file, line in (
        ("passwd", f"{USER}:x:{NUMBER}:{NUMBER}::{directory}:/bin/sh"),
        ("group", f"{USER}:x:{NUMBER}:"),
    ):
        (directory / "etc" / file).write_text(f"{Path('/etc', file).read_text()}{line}\n")
    lab.lend(65536)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NUMBER, NUMBER, follow_symlinks=False)
    directory.chmod(0o755)
    yield lab
    # What Nix has made nobody may write, and what a build that was ended left behind may be of the users lent to it.
    shutil.rmtree(directory)


def test_who_is_lent_no_users_is_told_what_to_do(lab: Ordinary) -> None:
    lab.lend(0)
    said = lab.build()
    lab.lend(65536)
    assert f"usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {USER}" in said
    assert "exit code 2" in said
    assert list(lab.store.iterdir()) == [] or not list(lab.store.glob("*-image"))


def test_the_user_builds_what_root_builds(lab: Ordinary, lab_of: t.Callable[..., Lab]) -> None:
    said = lab.build()
    assert "exit code 0" in said, said
    bundle = next(lab.store.glob("*-web-database-image"))
    image = bundle.joinpath("image.json").read_text()
    assert (bundle / "root.squashfs").stat().st_uid == NUMBER
    assert not Path("/proc/mounts").read_text().count(str(lab.directory))

    theirs = lab_of("root", "web", platform="qemu", roles={"proxy": 0, "backend": 0})
    theirs.drop_test_script()
    theirs.play("build")
    # With the hashes of all files of the image.
    assert Path("/nix/store", bundle.name, "image.json").read_text() == image


def test_what_is_built_is_kept_until_nobody_needs_it(lab: Ordinary) -> None:
    collect = ROOT.joinpath("docs/builders/debian.md").read_text().partition("```sh\nunshare")[2].partition("```")[0]
    assert "exit code 0" in (said := lab.run("sh", "-c", f"unshare{collect}")), said
    roots = next(lab.directory.glob(".local/state/immutable-compose/*/roots"))
    kept = next(path for path in roots.iterdir() if "+" not in path.name)
    assert (kept / "root.squashfs").is_file()
    assert "ok=2    changed=0" in lab.build()
    for path in roots.iterdir():
        path.unlink()
    lab.run("sh", "-c", f"unshare{collect}")
    assert not list(lab.store.glob("*-web-database*"))


def test_a_nix_that_lies_in_the_store_itself(lab: Ordinary) -> None:
    """As its own installer has it, with a daemon: it is not hidden by the store that is mounted."""
    nix, socket = lab.directory / "nix", lab.directory / "daemon" / "socket"
    nix.mkdir()
    for program in ("nix", "nix-store", "nix-instantiate"):
        shutil.copy2(f"/usr/bin/{program}", nix / program, follow_symlinks=False)
    added = subprocess.run(["nix-store", "--add", str(nix)], stdout=subprocess.PIPE, text=True, check=True).stdout
    environment = {"NIX_DAEMON_SOCKET_PATH": str(socket), "NIX_REMOTE": "daemon"}
    daemon = subprocess.Popen(["nix-daemon"], env={**os.environ, **environment, "NIX_REMOTE": "local"})
    try:
        said = lab.build(PATH=f"{added.strip()}:{lab.environment()['PATH']}", **environment)
    finally:
        daemon.terminate()
        daemon.wait()
    assert "ok=2" in said and "exit code 0" in said, said
    assert (lab.store / Path(added.strip()).name).is_dir()
