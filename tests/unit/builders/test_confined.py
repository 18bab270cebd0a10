# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build may do: every command of a role, and every maintainer script, is somebody else's program.

One image is built, whose ``postInstall`` tries all attacks; what one of them gets is a file in the image.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import socketserver
import subprocess
import threading
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY

#: Leaves a chroot by the way that every root has who is not confined: runs its argument in what it finds there.
ESCAPE = """
escaped() {
    perl -e 'mkdir "/x"; chroot "/x"; chdir ".." for 1 .. 64; chroot "."; exec "/bin/sh", "-c", $ARGV[0]' "$1"
    rmdir /x
}
loot=/etc/loot; mkdir $loot
"""

#: Attack → commands that print something where it came through. ``@…@`` stands for a value of the host.
ATTACKS = {
    "read a file of the host": "escaped 'cat @SECRET@'",
    "read a file of the host by a process": "cat /proc/1/root/@SECRET@",
    "write a file of the host": "escaped 'echo gone > @DIRECTORY@/written && echo @TOKEN@'",
    "write to the store": "escaped 'echo gone > @STORE@/@TOKEN@-1 && echo @TOKEN@'; echo > /mnt/@TOKEN@-2 && echo @TOKEN@",
    "make the store writable": """
        escaped 'mount -o remount,bind,rw @STORE@; mkdir @STORE@/@TOKEN@-3 && echo @TOKEN@'
        escaped 'for path in @STORE@/*-base; do
            mount -o remount,bind,rw $path; : > $path/@TOKEN@ && rm $path/@TOKEN@ && echo @TOKEN@
        done'""",
    "read another build's result": "cat /mnt/@OTHER@; escaped 'cat @STORE@/@OTHER@'",
    "see a process of the host": "escaped 'cat /proc/@VICTIM@/cmdline'; cat /proc/@VICTIM@/cmdline",
    "read the environment of a process of the host": "escaped 'cat /proc/@VICTIM@/environ'",
    "end a process of the host": """
        escaped 'nsenter --pid=/proc/1/ns/pid --mount=/proc/1/ns/mnt kill @VICTIM@ && echo @TOKEN@'""",
    "reach the network": """
        escaped 'nsenter --net=/proc/1/ns/net bash -c "cat < /dev/tcp/127.0.0.1/@PORT@"'
        bash -c 'cat < /dev/tcp/127.0.0.1/@PORT@'""",
    "read a disk of the host": "mknod /disk b @DISK@ && head -c 1 /disk > /dev/null && echo @TOKEN@; rm -f /disk",
    "change the kernel's settings": "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness && echo @TOKEN@",
    "read the kernel's memory map": "grep -v ^00000000 /proc/kallsyms | head -n 1 | grep . && echo @TOKEN@",
    "know the host's name": "cat /proc/sys/kernel/hostname",
    "be a user of the host": "awk '$2 < 100000 { print \"@TOKEN@\" }' /proc/self/uid_map /proc/self/gid_map",
    "read the keys of the host's session": """
        perl -e 'my ($type, $name, $value) = ("user", "@TOKEN@-key", " " x 16);
            my $key = syscall(@REQUEST_KEY@, $type, $name, 0, 0);
            syscall(@KEYCTL@, 11, $key, $value, 16); print $value'""",
}


#: Numbers of system calls: add_key, request_key, keyctl.
KEY_CALLS = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[os.uname().machine]


@contextmanager
def _key(name: str, value: str) -> t.Iterator[None]:
    """A key in the session of this process, which builds inherit."""
    system = ctypes.CDLL(None, use_errno=True).syscall
    content = value.encode()
    key = system(KEY_CALLS[0], b"user", name.encode(), content, ctypes.c_size_t(len(content)), ctypes.c_int(-3))
    assert key > 0
    yield
    system(KEY_CALLS[2], 3, key)  # revoke


@dataclass(frozen=True)
class Attacked:
    """What came of the attacks."""

    token: str
    loot: t.Mapping[str, str]
    victim: subprocess.Popen[bytes]
    directory: Path


class _Listener(socketserver.ThreadingTCPServer):
    token = b""


class _Tell(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(t.cast(_Listener, self.server).token)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Attacked]:
    directory = tmp_path_factory.mktemp("host")
    token = secrets.token_hex(8)
    secret = directory / "ca"
    secret.write_text(token)
    secret.chmod(0o600)
    other = subprocess.run(["nix-store", "--add", secret], check=True, capture_output=True, text=True).stdout.strip()
    victim = subprocess.Popen(["sleep", "600"], env={"SECRET": token})
    device = os.stat("/").st_dev
    with _Listener(("127.0.0.1", 0), _Tell) as server:
        server.token = token.encode()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        values = {
            "TOKEN": token,
            "SECRET": str(secret),
            "DIRECTORY": str(directory),
            "STORE": os.path.dirname(other),
            "OTHER": os.path.basename(other),
            "VICTIM": str(victim.pid),
            "PORT": str(server.server_address[1]),
            "DISK": f"{os.major(device)} {os.minor(device)}",
            "REQUEST_KEY": str(KEY_CALLS[1]),
            "KEYCTL": str(KEY_CALLS[2]),
        }
        commands = ESCAPE + "".join(
            f"( {attack} ) > $loot/{number} 2> /dev/null || :\n" for number, attack in enumerate(ATTACKS.values())
        )
        for name, value in values.items():
            commands = commands.replace(f"@{name}@", value)
        with _key(f"{token}-key", token):
            loot = _build(directory, commands)
        server.shutdown()
    yield Attacked(token, dict(zip(ATTACKS, loot, strict=True)), victim, directory)
    victim.kill()
    victim.wait()
    subprocess.run(["nix-store", "--delete", other], check=True, capture_output=True)


def _build(directory: Path, commands: str) -> list[str]:
    """Build a role with these commands; gives the loot of each attack."""
    composition = directory / "attack"
    composition.mkdir()
    (composition / "composition.nix").write_text("{ roles.app.postInstall = ''\n%s''; }" % commands.replace("${", "''${"))
    lock = json.loads((REPOSITORY / "compositions/web/compose.lock.json").read_text())
    lock["roles"] = {"app": {"requested": [], "packages": []}}
    (composition / "compose.lock.json").write_text(json.dumps(lock))
    debian = Debian(str(REPOSITORY / "nix"), Progress())
    image = debian.build(str(composition), {}, ["app"], ["root"], str(directory / "roots"))["app"]
    root = image.path("root")
    return [
        subprocess.run(["unsquashfs", "-cat", root, f"etc/loot/{number}"], check=True, capture_output=True)
        .stdout.decode(errors="replace")
        for number in range(len(ATTACKS))
    ]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_build_gets_nothing_of_its_host(attacked: Attacked, attack: str) -> None:
    loot = attacked.loot[attack]
    assert attacked.token not in loot
    assert "sleep" not in loot
    assert os.uname().nodename not in loot


def test_a_build_changes_nothing_on_its_host(attacked: Attacked) -> None:
    assert attacked.victim.poll() is None
    assert not (attacked.directory / "written").exists()
    store = Path(os.environ.get("NIX_STORE_DIR", "/nix/store"))
    assert not list(store.glob(f"*{attacked.token}*"))
