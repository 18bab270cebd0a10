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
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import squashed

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import REQUIRED, Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix, NixBuildError
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
    "write a file of the host": "escaped 'echo gone > @DIRECTORY@/written && echo @TOKEN@'",
    "write to the store": """
        escaped 'echo gone > @STORE@/@TOKEN@-1 && echo @TOKEN@'
        echo gone > /mnt/@TOKEN@-2 && echo @TOKEN@""",
    "make the store writable": """
        escaped 'mount -o remount,bind,rw @STORE@; mkdir @STORE@/@TOKEN@-3 && echo @TOKEN@'
        escaped 'for path in @STORE@/*-base; do
            mount -o remount,bind,rw $path; : > $path/@TOKEN@ && rm $path/@TOKEN@ && echo @TOKEN@
        done'""",
    "read another build's result": "cat /mnt/@OTHER@; escaped 'cat @STORE@/@OTHER@'",
    "see a process of the host": "escaped 'cat /proc/@VICTIM@/cmdline'; cat /proc/@VICTIM@/cmdline",
    "read the environment of a process of the host": "escaped 'cat /proc/@VICTIM@/environ'",
    "have a process of the host ended": "escaped 'echo 500 > /proc/@VICTIM@/oom_score_adj && echo @TOKEN@'",
    "reach the network": """
        escaped 'nsenter --net=/proc/@VICTIM@/ns/net perl -e "@CONNECT@"'
        perl -e "@CONNECT@" """,
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


SAID: t.Mapping[str, t.Any] = {"capture_output": True, "text": True}


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


@pytest.fixture
def attacked(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Attacked]:
    directory = tmp_path_factory.mktemp("host")
    token = secrets.token_hex(8)
    secret = directory / "ca"
    secret.write_text(token)
    secret.chmod(0o600)
    other = subprocess.run(["nix-store", "--add", secret], check=True, **SAID).stdout.strip()
    victim = subprocess.Popen(["sleep", "600"], env={"SECRET": token})
    device = os.stat("/").st_dev
    with _Listener(("127.0.0.1", 0), _Tell) as server:
        server.token = token.encode()
        port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        values = {
            "TOKEN": token,
            "SECRET": str(secret),
            "DIRECTORY": str(directory),
            "STORE": os.path.dirname(other),
            "OTHER": os.path.basename(other),
            "VICTIM": str(victim.pid),
            "CONNECT": f"use IO::Socket::INET; print readline IO::Socket::INET->new(qq(127.0.0.1:{port}))",
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
            root = _build(directory, commands)
        server.shutdown()
    loot = {attack: str(squashed.content(root, f"etc/loot/{number}")) for number, attack in enumerate(ATTACKS)}
    yield Attacked(token, loot, victim, directory)
    victim.kill()
    victim.wait()
    subprocess.run(["nix-store", "--delete", other], check=True, capture_output=True)


def _build(directory: Path, commands: str) -> str:
    """Build a role with these commands; gives its root file system."""
    composition = directory / "attack"
    composition.mkdir()
    escaped = commands.replace("${", "''${")
    (composition / "composition.nix").write_text(f"{{ roles.app.postInstall = ''\n{escaped}''; }}")
    lock = json.loads((REPOSITORY / "compositions/web/compose.lock.json").read_text())
    lock["roles"] = {"app": {"requested": [], "packages": []}}
    (composition / "compose.lock.json").write_text(json.dumps(lock))
    debian = Debian(str(REPOSITORY / "nix"), Progress())
    return debian.build(str(composition), {}, ["app"], ["root"], str(directory / "roots"))["app"].path("root")


def test_a_build_gets_nothing_of_its_host(attacked: Attacked) -> None:
    """One test, for what is built for it is built once."""
    signs = {attacked.token, "sleep", os.uname().nodename} - {"localhost"}
    assert [attack for attack, loot in attacked.loot.items() if any(sign in loot for sign in signs)] == []
    assert attacked.victim.poll() is None
    assert not (attacked.directory / "written").exists()
    store = Path(os.environ.get("NIX_STORE_DIR", "/nix/store"))
    assert not list(store.glob(f"*{attacked.token}*"))


ENTER = REPOSITORY / "nix/debian/build/enter.sh"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tree that builds run in."""
    root = os.path.realpath(_build(tmp_path_factory.mktemp("plain"), ""))
    maker = subprocess.run(["nix-store", "--query", "--deriver", root], check=True, **SAID).stdout.strip()
    wanted = subprocess.run(["nix-store", "--query", "--requisites", maker], check=True, **SAID).stdout.split()
    [derivation] = [path for path in wanted if path.endswith("-debian-tools.drv")]
    return subprocess.run(["nix-store", "--query", "--outputs", derivation], check=True, **SAID).stdout.strip()


def _derivation(directory: Path, tools: str, commands: str) -> tuple[Nix, list[str]]:
    """A build that runs nothing but these commands where the others run theirs."""
    (directory / "script").write_text(commands)
    (directory / "library").touch()
    (directory / "default.nix").write_text(
        f"""{{ tools }}: {{ a = derivation {{
            name = "entered"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ {ENTER} ];
            tools = builtins.storePath tools; library = ./library; script = ./script; needs = [ ];
        }}; }}"""
    )
    nix = Nix(Progress(), REQUIRED)
    return nix, nix.instantiate(str(directory / "default.nix"), ["a"], {"tools": tools})


@pytest.mark.parametrize("target", ["/etc/shadow", "$NIX_STORE/../../etc/shadow", "shadow"])
def test_a_result_that_leads_elsewhere_is_refused(tmp_path: Path, tools: str, target: str) -> None:
    """Who makes use of an image outside would follow it, and give a file of the host to a node."""
    nix, derivations = _derivation(tmp_path, tools, f'ln -s "{target}" $out/root.squashfs')
    log = BuildLog(Progress(), str)
    with pytest.raises(NixBuildError, match=r"root\.squashfs, which is neither a file nor a directory"):
        nix.realise(derivations, log, log.describe)


def test_a_build_ends_with_who_asked_for_it(tmp_path: Path, tools: str) -> None:
    marker = str(secrets.randbelow(10**9) + 10**9)
    _nix, derivations = _derivation(tmp_path, tools, f"sleep {marker} & setsid sleep {marker}")
    config = "build-users-group =\n" + "".join(f"{key} = {value}\n" for key, value in REQUIRED.items())
    environment = {**os.environ, "NIX_CONFIG": config}
    asked = subprocess.Popen(
        ["nix-store", "--realise", *derivations], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _until(lambda: len(_sleeping(marker)) == 2)
    asked.kill()
    asked.wait()
    _until(lambda: not _sleeping(marker))


def test_a_host_without_user_namespaces_is_refused(tmp_path: Path) -> None:
    environment = {"NIX_STORE": "/nix/store", "out": str(tmp_path / "out"), "needs": "", "tools": "/"}
    in_chroot = f"mount --rbind / /mnt && exec chroot /mnt sh -c 'cd {tmp_path} && exec sh {ENTER}'"
    refused = subprocess.run(
        ["unshare", "--mount", "sh", "-c", in_chroot], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "this host cannot confine builds: it allows no user namespaces" in refused.stderr
    assert not (tmp_path / "out").exists()


def _sleeping(marker: str) -> list[str]:
    return subprocess.run(
        ["pgrep", "-fx", f"sleep {marker}"], capture_output=True, text=True, check=False
    ).stdout.split()


def _until(true: t.Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
