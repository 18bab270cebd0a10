# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of the builder, nothing random and no secret is in an image: what is generated is found, or made at boot."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest
import squashed

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import NixBuildError
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError

from .conftest import REPOSITORY, Compose

PROGRAM = REPOSITORY / "nix/debian/image/usr/lib/compose/make-generated"

#: What maintainer scripts do.
MAKES = """
umask 022; mkdir -p /etc/app/keys /var/lib/app
echo one > /etc/app/cookie; chmod 0400 /etc/app/cookie; chown games:games /etc/app/cookie
printf -- '-----BEGIN RSA PRIVATE KEY-----\\nx\\n' > /etc/app/keys/tls.pem
printf -- 'z-----BEGIN RSA PRIVATE KEY-----s\\n' > /var/lib/app/reader.pyc
echo public > /etc/app/public; : > /etc/app/empty; chmod 0600 /etc/app/empty
"""


def role(text: str) -> str:
    return f'{{ ... }}: {{ roles.proxy = {{ packages = [ "nginx-light" ]; {text} }}; }}'


def content(image: str, path: str) -> str:
    found = squashed.content(image, path)
    return "MISSING" if found is None else found


def built(debian: Debian, path: str, directory: Path) -> str:
    return debian.build(path, {}, ["proxy"], ["root"], str(directory / "roots"))["proxy"].path("root")


def test_what_is_generated_fails_the_build(debian: Debian, compose: Compose, tmp_path: Path) -> None:
    path = compose(role(f"postInstall = ''{MAKES} chmod 0600 /etc/adduser.conf '';"), lock="web")
    with pytest.raises(NixBuildError) as refused:
        built(debian, path, tmp_path)
    said = [line for line in str(refused.value).splitlines() if line.startswith("generated: ")]
    assert said == [
        "generated: /etc/app/cookie (mode 0400), of no package",
        "generated: /etc/app/keys/tls.pem (a private key), of no package",
    ]
    assert "say in roles.NAME.generated what becomes of it" in str(refused.value)


def test_the_role_says_what_becomes_of_it_and_builds_look_the_same(
    debian: Debian, compose: Compose, tmp_path: Path
) -> None:
    text = """
    generated."/etc/app/cookie".secret = "cookie";
    generated."/etc/app/keys/*.pem".command = "new-key \\"$1\\"";
    generated."/var/lib/app".keep = true;
    generated."/etc/shared/key".secret = "shared";
    files."/etc/mailname".text = "the role's own\\n";
    debconf = [ "iproute2 iproute2/setcaps boolean true" ];
    """
    commands = (
        f"{MAKES} umask 077; echo kept > /var/lib/app/token; umask 022; hostname -f > /etc/named; "
        "cat /etc/hosts >> /etc/named; echo get iproute2/setcaps | debconf-communicate > /etc/answered"
    )
    path = compose(role(f"{text} postInstall = ''{commands}'';"), lock="web")
    image = built(debian, path, tmp_path)
    assert content(image, "etc/app/cookie") == content(image, "etc/app/keys/tls.pem") == "MISSING"
    assert content(image, "var/lib/app/token") == "kept\n"
    assert json.loads(content(image, "usr/lib/compose/generated.json")) == [
        {"path": "/etc/app/cookie", "mode": "400", "owner": "games:games", "directory": False, "secret": "cookie"},
        {
            "path": "/etc/app/keys/tls.pem",
            "mode": "644",
            "owner": "root:root",
            "directory": False,
            "command": 'new-key "$1"',
        },
        {"path": "/etc/shared/key", "mode": "400", "owner": "root:root", "directory": False, "secret": "shared"},
    ]
    assert content(image, "etc/mailname") == "the role's own\n"
    assert content(image, "etc/named").startswith("image.localdomain\n127.0.0.1 localhost\n")
    assert content(image, "etc/answered") == "0 true\n"
    # What a package has made for its service to write to is there, and empty.
    assert (content(image, "var/log/nginx/access.log"), content(image, "var/log/dpkg.log")) == ("", "MISSING")
    assert (content(image, "etc/hosts"), content(image, "etc/hostname")) == ("", "MISSING")


def test_a_second_build_looks_at_other_surroundings(debian: Debian, compose: Compose, tmp_path: Path) -> None:
    looks = "nproc > /etc/processors; cat /proc/self/uid_map > /etc/users; date > /etc/date; echo same > /etc/same"
    path = compose(role(f"postInstall = ''{looks}'';"), lock="web")
    built(debian, path, tmp_path)
    differs = debian.check_reproducible(path, {}, ["proxy"], ["root", "tar"])["proxy"]
    several = ["/etc/processors"] if len(os.sched_getaffinity(0)) > 1 else []
    lent = [] if "/etc/users" not in differs else ["/etc/users"]  # a user who is not root has one range only
    assert differs.split(", ") == sorted(["/etc/date", *several, *lent]) * 2
    assert lent or os.geteuid() != 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'debconf = [ "slapd slapd/password1 password x" ];',
            r"roles.proxy.debconf\[0\]: a password would be in the image",
        ),
        ('debconf = [ "postfix/main_mailer_type Local" ];', r"roles.proxy.debconf\[0\]: "),
        ('generated."/etc/key" = { keep = true; secret = "x"; };', r'roles.proxy.generated."/etc/key": '),
        ('generated."/etc/key" = { };', r'roles.proxy.generated."/etc/key": '),
        ('generated."/etc/key".comand = "x";', "unknown attribute; did you mean 'command'"),
        ('generated."/etc/*/key".secret = "x";', "a secret is one file"),
        ('generated."/run/key".keep = true;', r'roles.proxy.generated."/run/key": '),
    ],
)
def test_refused(debian: Debian, compose: Compose, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        debian.evaluate(compose(role(text), lock="web"), {})


def made(directory: Path, entries: t.Sequence[t.Mapping[str, str]], secrets: t.Mapping[str, str]) -> str:
    """What the program says that makes them at boot; empty if all is well."""
    me = f"{os.getuid()}:{os.getgid()}"
    said = [
        {"mode": "440", "owner": me, "directory": False, **entry, "path": f"{directory}{entry['path']}"}
        for entry in entries
    ]
    (directory / "generated.json").write_text(json.dumps(said))
    (directory / "node.json").write_text(json.dumps({"secrets": secrets}))
    text = PROGRAM.read_text().replace("/usr/lib/compose/", f"{directory}/").replace("/run/compose/", f"{directory}/")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def test_made_at_boot(tmp_path: Path) -> None:
    key, shared = tmp_path / "etc/key", tmp_path / "etc/new/shared"
    entries = [
        {"path": "/etc/key", "command": 'echo "made $1" > "$1"'},
        {"path": "/etc/new/shared", "secret": "shared"},
    ]
    assert made(tmp_path, entries, {"shared": "it's\ntwo lines"}) == ""
    assert key.read_text() == f"made {key}\n" and shared.read_text() == "it's\ntwo lines"
    assert key.stat().st_mode & 0o777 == shared.stat().st_mode & 0o777 == 0o440
    key.write_text("was there")
    assert made(tmp_path, entries, {"shared": "another"}) == ""
    assert key.read_text() == "was there" and shared.read_text() == "another"
    assert "is to be the secret 'shared', which this node has not" in made(tmp_path, entries, {})
    assert shared.read_text() == "another"


def test_a_directory_is_filled_where_it_is_empty(tmp_path: Path) -> None:
    data = tmp_path / "volume/15/main"
    (data.parent.parent / "lost+found").mkdir(parents=True)
    entries = [{"path": "/volume/15/main", "mode": "700", "directory": True, "command": 'echo "$1" >> "$1/made"'}]
    (data / "lost+found").mkdir(parents=True)
    assert made(tmp_path, entries, {}) == "" == made(tmp_path, entries, {})
    assert (data / "made").read_text() == f"{data}\n" and data.stat().st_mode & 0o777 == 0o700
    failing = [{"path": "/other", "command": "echo no such program >&2; exit 3"}]
    assert made(tmp_path, failing, {}) == "no such program\n"
