# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node answers to a look for drift: the real programs, in root file systems laid out as those of each builder.

Whatever the layout, the same change is told in the same words. The root of a Debian is a squashfs with memory over it,
as nodes boot it, or was unpacked. In those of NixOS and Guix all but the store is made at boot, from what that has.
"""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.drift import files_and_units, user_changes
from ansible_collections.immutable.compose.plugins.module_utils.images.listing import list_image
from ansible_collections.immutable.compose.plugins.module_utils.model.findings import Changes, UnitChanges
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.nodes import declared, look
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems, in a namespace of its own")

PASSWD = "root:x:0:0::/root:/bin/sh\nold:x:1:1::/:/bin/sh\n"
#: What people do to a node.
BY_HAND = """
echo more >>/etc/a; rm /etc/b; echo x >/opt/new; echo x >/etc/added
echo bob:x:2:2::/:/bin/sh >>/etc/passwd; echo x >/etc/shadow
ln -s /dev/null /run/systemd/system/cron.service
"""
FOUND = Changes(("/etc/a",), ("/etc/added", "/opt/new"), ("/etc/b",))
UNITS, USERS = UnitChanges(masked=("cron.service",)), Changes(added=("bob",))
#: What nodes do by themselves.
BY_ITSELF = "echo x >/srv/data/x; echo x >/var/log/x; echo x >/tmp/x; echo x >/etc/hosts; echo x >/root/.bash_history"
SAME = (Changes(), UnitChanges(), Changes())

#: Programs are those of this host, and lie where no image has anything.
TOOLS = "/run/bin:/tools/usr/bin"
#: $1: mounts $root; $2: is done once it has booted; $3: what the node is asked.
INSIDE = """
root=$PWD/node; mkdir -p $root
eval "$1"
for place in run srv/data; do mount -t tmpfs memory $root/$place; done
mkdir -p $root/run/{bin,compose/ssh,systemd/system}; echo key >$root/run/compose/ssh/host_key
eval "${4:-}"
mount --rbind /dev $root/dev; mount --rbind /proc $root/proc; mount --bind / $root/tools
sleep 2.1  # times of files are compared with a time in whole seconds
for command in "$2" "$3"; do
  PATH=$TOOLS /usr/sbin/chroot $root /tools/usr/bin/bash -c "$command"
done
"""


def ask(directory: Path, mount: str, done: str, question: str, boot: str = "") -> Output:
    """What a node answers."""
    ran = subprocess.run(
        ["unshare", "--mount", "bash", "-euc", INSIDE, "inside", mount, done, question, boot],
        cwd=directory,
        env={**os.environ, "TOOLS": TOOLS},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return Output(0, ran.stdout, ran.stderr)


def skeleton(root: Path) -> None:
    """What every root file system has."""
    for path in ("dev", "proc", "run", "tools", "srv/data", "var/log", "tmp", "opt", "root", "etc"):
        (root / path).mkdir(parents=True)
    for name in ("lib", "lib64"):
        (root / name).symlink_to(f"tools/usr/{name}")


Found = tuple[Changes, UnitChanges, Changes]


def debian(directory: Path, done: str, *, unpacked: bool) -> Found:
    root = directory / "root"
    skeleton(root)
    (root / "usr/lib/compose").mkdir(parents=True)
    files = {"etc/a": "a", "etc/b": "b", "etc/hosts": "", "etc/passwd": PASSWD, "etc/shadow": ""}
    for path, text in {**files, look.IDENTITY_FILE[1:]: "x"}.items():
        (root / path).write_text(text)
    for path in (root, *root.rglob("*")):
        subprocess.run(["touch", "-h", "-d", "@1700000000", path], check=True)
    subprocess.run(["mksquashfs", root, directory / "root.squashfs", "-quiet", "-no-progress"], check=True)
    image = Image("a", "debian", "x", "amd64", {"root": ImageFile("root.squashfs", 0, "")}, bundle=str(directory))
    listing = list_image(image)
    copied = "mount -t tmpfs memory $root; cp -a image/. $root"
    options = "lowerdir=image,upperdir=memory/up,workdir=memory/work"
    over = f"mount -t tmpfs memory memory; mkdir memory/up memory/work; mount -t overlay overlay -o {options} $root"
    mount = f"mkdir -p image memory; mount -o loop,ro root.squashfs image; {copied if unpacked else over}"
    sight = look.sight_of(ask(directory, mount, done, look.look(listing.newest)), listing.newest)
    assert sight.reliable is not unpacked
    if unpacked:
        sight = look.sight_of(ask(directory, mount, done, look.look()))
    users = user_changes(listing.users, sight.users)
    return (*files_and_units(listing, sight, [], users), users)


def stored(directory: Path, store: str, boot: str) -> None:
    """A store with a system, and what its activation makes of it."""
    root = directory / "root"
    skeleton(root)
    where = root / store
    (where / "1-system").mkdir(parents=True)
    (where / "2-etc/etc").mkdir(parents=True)
    (where / "3-d").mkdir()
    (where / "1-system/etc").symlink_to(f"/{store}/2-etc/etc")
    for name in ("a", "b", "c", "hosts", "d/c"):
        item = where / f"3-{name}"
        item.write_text(name)
        if name != "d/c":
            (where / "2-etc/etc" / name).symlink_to(f"/{store}/3-{name}")
    (where / "2-etc/etc/d").symlink_to(f"/{store}/3-d")
    (where / "2-etc/etc/a.mode").write_text("0644")
    for path in (where, *where.rglob("*")):
        subprocess.run(["touch", "-h", "-d", "@1", path], check=True)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/static").symlink_to(f"/{store}/2-etc/etc")
    for name in ("a", "hosts", *(("b", "c") if boot == "guix" else ())):
        (root / "etc" / name).write_text(name)
    (root / "etc/d").symlink_to("/etc/static/d")
    for name in ("b", "c") if boot == "nixos" else ():
        (root / "etc" / name).symlink_to(f"/etc/static/{name}")


def declared_by(directory: Path, done: str, builder: str) -> Found:
    store = "nix/store" if builder == "nixos" else "gnu/store"
    stored(directory, store, builder)
    mount = f"mount -t tmpfs memory $root; cp -a root/. $root; mount --bind $root/{store} $root/{store}"
    says = "echo @$(date +%s)" if builder == "nixos" else "exit 1"  # since when it is up: Guix has no systemd
    boot = f"""
        ln -s /{store}/1-system $root/run/current-system; cp $root/etc/passwd $root/run/compose/passwd
        echo "#!/tools/usr/bin/bash\n{says}" >$root/run/bin/systemctl; chmod +x $root/run/bin/systemctl
    """
    question = declared.LOOK.replace("since + 60", "since + 1")
    found = declared.declared(ask(directory, mount, done, question, boot))
    assert found.unknown == []
    users = user_changes(found.image.users, found.sight.users)
    return (*files_and_units(found.image, found.sight, [], users), users)


LAYOUTS: dict[str, t.Callable[[Path, str], Found]] = {
    "debian": lambda directory, done: debian(directory, done, unpacked=False),
    "debian, unpacked": lambda directory, done: debian(directory, done, unpacked=True),
    "nixos": lambda directory, done: declared_by(directory, done, "nixos"),
    "guix": lambda directory, done: declared_by(directory, done, "guix"),
}
each_layout = pytest.mark.parametrize("found", LAYOUTS.values(), ids=LAYOUTS.keys())


@each_layout
def test_what_people_do_is_told_in_the_same_words(tmp_path: Path, found: t.Callable[[Path, str], Found]) -> None:
    assert found(tmp_path, BY_HAND) == (FOUND, UNITS, USERS)


@each_layout
def test_what_a_node_does_by_itself_is_no_drift(tmp_path: Path, found: t.Callable[[Path, str], Found]) -> None:
    assert found(tmp_path, BY_ITSELF) == SAME


@pytest.mark.parametrize("builder", ["nixos", "guix"])
def test_what_is_changed_in_the_store(tmp_path: Path, builder: str) -> None:
    store = "/nix/store" if builder == "nixos" else "/gnu/store"
    changed = "echo x >>3-a; rm 3-d/c; rm /etc/c; ln -s 3-b /etc/c"
    done = f"cd {store}; {changed}; mkdir 4-new; echo x >4-new/x; touch -d @1 4-new"
    files = Changes(("/etc/a", "/etc/c", f"{store}/3-a", f"{store}/3-d"), (f"{store}/4-new",))
    assert declared_by(tmp_path, done, builder) == (files, UnitChanges(), Changes())


def test_what_a_node_cannot_say_is_unknown() -> None:
    found = declared.declared(Output(0, b"W/nix/store\0Ix\tgarbage\0Iy\0\0X\0", b""))
    assert found.unknown == [
        "it does not say how long it has been up",
        "/run/current-system/etc is not there",
        "its image does not keep what accounts there were when it booted",
    ]
    assert found.image.users == found.sight.users == []
