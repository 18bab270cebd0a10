"""Real builds of small images, and every way in which a build may fail."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socketserver
import subprocess
import tempfile
import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from squashed import content

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian import builder as debian_module
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import REQUIRED, Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.failures import explain_failure
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.nix import Nix, NixBuildError
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images import layers
from ansible_collections.immutable.compose.plugins.module_utils.images.listing import Entry, list_image
from ansible_collections.immutable.compose.plugins.module_utils.images.packages import versions
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import Compose, use_store, write_build

COMPOSITION = """
{ ... }:
{
  roles.proxy = {
    packages = [ "nginx-light" ];
    files."/etc/motd" = { text = "It's \\"quoted\\" & $HOME\\n"; mode = "0600"; user = "www-data"; };
    files."/srv/tree".source = ./tree;
    files."/srv/leaf".source = "${./tree}/file";
    files."/srv/built".source = derivation {
      name = "built"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo built > $out" ];
    };
    files."/etc/resolv.conf".text = "nameserver 192.0.2.1\n";
    users.games.groups = [ "www-data" ];
    users.backup.shell = "/bin/sh";
    units."often.timer".text = ''
      [Timer]
      OnBootSec=1h
      [Install]
      WantedBy=timers.target
    '';
    units."often.service" = { enable = false; text = "[Service]\nExecStart=/bin/true\n"; };
    users.alice = { uid = 4321; groups = [ "www-data" ]; authorizedKeys = [ "ssh-ed25519 AAAA alice" ]; };
    units."hello.service".text = ''
      [Service]
      ExecStart=/bin/true
      [Install]
      WantedBy=multi-user.target
    '';
    units."nginx.service".mask = true;
    volumes.data = { mount = "/data"; user = "alice"; group = "alice"; mode = "0750"; };
    postInstall = "echo made > /etc/made";
  };
}
"""


@pytest.fixture
def proxy(compose: Compose) -> str:
    path = compose(COMPOSITION, lock="web")
    Path(path, "tree").mkdir()
    Path(path, "tree/file").write_text("leaf")
    return path


def unsquashed(image: str, *paths: str) -> dict[str, str]:
    """Contents of files in a squashfs."""
    return {path: str(content(image, path)) for path in paths}


def test_an_image_is_what_the_composition_says(debian: Debian, proxy: str, tmp_path: Path, progress: Path) -> None:
    expected = debian.evaluate(proxy, {}).roles["proxy"].identity
    roots = tmp_path / "roots"
    image = debian.build(proxy, {}, ["proxy"], ["root"], str(roots))["proxy"]
    assert image.identity == expected
    assert debian.is_built(proxy, {}, ["proxy"], ["root"]) == {"proxy": True}
    assert (roots / image.identity).resolve() == Path(image.bundle)

    root = image.path("root")
    assert image.formats["root"].size == os.stat(root).st_size
    assert image.formats["root"].sha256 == hashlib.sha256(Path(root).read_bytes()).hexdigest()
    assert "nginx-light" in versions(image.packages)
    assert image.volumes["data"].mount == "/data"

    files = unsquashed(
        root,
        *("usr/lib/compose/identity", "usr/lib/os-release", "etc/machine-id", "etc/motd", "srv/tree/file", "etc/fstab"),
        *("srv/leaf", "srv/built"),
        *(
            "home/alice/.ssh/authorized_keys",
            "etc/passwd",
            "etc/group",
            "etc/resolv.conf",
            "etc/made",
            "usr/lib/compose/volumes",
            "var/lib/dpkg/status",
        ),
    )
    assert files["usr/lib/compose/identity"] == f"{expected}\n"
    assert f'IMAGE_ID="example-proxy"\nIMAGE_VERSION="{expected}"\n' in files["usr/lib/os-release"]
    assert files["etc/machine-id"] == ""
    assert files["etc/motd"] == 'It\'s "quoted" & $HOME\n'
    assert files["srv/tree/file"] == files["srv/leaf"] == "leaf"
    assert files["srv/built"] == "built\n"
    assert files["etc/made"] == "made\n"
    assert "/dev/disk/by-id/virtio-data /data ext4 " in files["etc/fstab"]
    assert files["usr/lib/compose/volumes"] == "data\t/data\talice\talice\t0750\ttrue\n"
    assert files["home/alice/.ssh/authorized_keys"] == "ssh-ed25519 AAAA alice\n"
    assert "alice:x:4321:4321:" in files["etc/passwd"]
    assert "games:x:5:60:games:/usr/games:/usr/sbin/nologin\n" in files["etc/passwd"]
    assert "backup:x:34:34:backup:/var/backups:/bin/sh\n" in files["etc/passwd"]
    assert "www-data:x:33:games,alice\n" in files["etc/group"] or "www-data:x:33:alice,games\n" in files["etc/group"]
    assert files["etc/resolv.conf"] == "nameserver 192.0.2.1\n"
    installed = files["var/lib/dpkg/status"]
    assert installed.count("Status: install ok installed") == installed.count("Package: ") == len(image.packages)

    names = list_image(image).entries
    assert names["etc/motd"].owner == "600 33 0"
    assert names["etc/systemd/system/nginx.service"] == Entry("l", "777 0 0", "/dev/null")
    assert "etc/systemd/system/multi-user.target.wants/hello.service" in names
    timers = "etc/systemd/system/timers.target.wants/"
    assert {name for name in names if name.startswith(timers)} == {f"{timers}often.timer"}
    unwanted = (
        "etc/ssh/ssh_host_",
        "var/lib/apt/lists/",
        "var/cache/apt/",
        "var/log/dpkg",
        "usr/share/man/man1/",
        "mnt/",
    )
    assert not [name for name in names if name.startswith(unwanted)]
    assert "usr/sbin/policy-rc.d" not in names

    assert debian.check_reproducible(proxy, {}, ["proxy"], ["root"]) == {"proxy": ""}
    assert "again: build proxy: packing" in progress.read_text()


#: Whatever can become of a path that the packages made.
CHANGES = """
rm -r /usr/share/perl5 /usr/share/base-passwd /usr/share/bash-completion /usr/share/debianutils /etc/adduser.conf
mkdir -p /usr/share/base-passwd "/srv/with  blanks" /etc/adduser.conf
echo new > /usr/share/base-passwd/new; echo a file > /usr/share/debianutils; echo x > /etc/adduser.conf/x
ln -s /etc /usr/share/bash-completion
echo x > "/srv/with  blanks/\\and more"; ln /etc/adduser.conf/x /srv/hard
chmod 3751 /usr/games; chown games:www-data /srv
"""


def looked_at(root: Path) -> dict[str, str]:
    """Path → all that is known of it; a directory's size and number of links are the file system's."""
    command = ["find", ".", "-mindepth", "1", "-printf", "%P\\t%y %m %U:%G %l %n %s %T@\\0"]
    said = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = dict(line.split("\t", 1) for line in said.split("\0") if line)
    words = {path: what.split(" ") for path, what in paths.items()}
    return {path: " ".join([*found[:3], found[-1]] if found[0] == "d" else found) for path, found in words.items()}


def test_a_root_in_layers_is_the_same_however_it_is_put_together(
    debian: Debian, compose: Compose, tmp_path: Path
) -> None:
    path = compose(
        f"{{ ... }}: {{ roles.proxy = {{ packages = [ \"nginx-light\" ]; postInstall = ''{CHANGES}''; }}; }}",
        lock="web",
    )
    image = debian.build(path, {}, ["proxy"], ["root", "tar"], str(tmp_path / "roots"))["proxy"]
    mounted, joined, archived = tmp_path / "mounted", tmp_path / "joined", tmp_path / "archived"
    for directory in (mounted, archived):
        directory.mkdir()
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-dest", joined, image.path("root")], check=True)
    layers.join(str(joined))
    subprocess.run(["tar", "--extract", "--file", image.path("tar"), "--directory", archived], check=True)
    subprocess.run(["mount", "-o", "loop,ro", image.path("root"), mounted], check=True)
    try:
        over = f"ro,lowerdir={layers.lower_dirs(str(mounted))}"
        subprocess.run(["mount", "-t", "overlay", "-o", over, "overlay", mounted], check=True)
        expected = looked_at(mounted)
        subprocess.run(["umount", mounted], check=True)
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert expected["usr/share/base-passwd/new"].startswith("f 644 0:0")
    assert [path for path in expected if path.startswith("usr/share/base-passwd/")] == ["usr/share/base-passwd/new"]
    assert expected["usr/share/debianutils"].startswith("f ")
    assert expected["etc/adduser.conf"].startswith("d ")
    assert expected["usr/share/bash-completion"].startswith("l 777 0:0 /etc")
    assert expected["srv"].startswith("d 755 5:33 ")
    assert expected["usr/games"].startswith("d 3751 0:0 ")
    assert expected["srv/with  blanks/\\and more"].startswith("f ")
    assert expected["srv/hard"].startswith("f 644 0:0  2 ")
    assert not [path for path in expected if path.startswith("usr/share/perl5")]
    assert looked_at(joined) == expected
    assert looked_at(archived) == expected
    listed = list_image(image)
    assert set(listed.entries) - {""} == set(expected)
    assert {path: entry.kind for path, entry in listed.entries.items() if path} == {
        path: what[0] for path, what in expected.items()
    }


def test_what_a_role_puts_in_place_of_a_key_is_not_below_it_either(
    debian: Debian, compose: Compose, tmp_path: Path
) -> None:
    """A layer is a part of the image: what the package made, would still be in it, another one in each build."""
    path = compose(
        '{ ... }: { roles.proxy = { packages = [ "app" ]; files."/etc/app.key" = { text = "mine"; mode = "400"; };};}',
        lock="web",
    )
    postinst = "#!/bin/sh\numask 077; head -c 12 /dev/urandom | base64 > /etc/app.key\n"
    lock_own(path, "proxy", make_deb(tmp_path, "app", postinst))
    image = debian.build(path, {}, ["proxy"], ["root"], str(tmp_path / "roots"))["proxy"]
    shown = subprocess.run(["unsquashfs", "-cat", image.path("root"), "etc/app.key"], check=True, capture_output=True)
    assert shown.stdout == b"mine"
    assert not [name for name in list_image(image).entries if name.startswith((layers.ROLE, layers.PACKAGES))]
    assert debian.check_reproducible(path, {}, ["proxy"], ["root"]) == {"proxy": ""}


def make_deb(directory: Path, name: str, postinst: str) -> Path:
    control = directory / name / "DEBIAN"
    control.mkdir(parents=True)
    fields = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
    (control / "control").write_text(fields)
    (control / "postinst").write_text(postinst)
    (control / "postinst").chmod(0o755)
    deb = directory / f"{name}_1_all.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(control.parent), str(deb)]
    subprocess.run(command, check=True, capture_output=True)
    return deb


def lock_own(composition: str, role: str, deb: Path) -> None:
    """Have a role's only package be this one, which is in the store already."""
    subprocess.run(["nix-store", "--add-fixed", "sha256", deb], check=True, capture_output=True)
    file = Path(composition, "compose.lock.json")
    lock = json.loads(file.read_text())
    name, version, architecture = deb.stem.split("_")
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    some = next(iter(lock["packages"].values()))
    locked = {"version": version, "architecture": architecture, "filename": f"pool/{deb.name}", "sha256": digest}
    lock["packages"][name] = {**some, **locked, "size": deb.stat().st_size}
    lock["roles"][role] = {**lock["roles"][role], "requested": [name], "packages": [name]}
    file.write_text(json.dumps(lock))


def test_formats_that_need_a_kernel_are_refused(debian: Debian, proxy: str) -> None:
    with pytest.raises(InputError, match=r"roles\.proxy has no kernel, so there is no image in format initrd, kernel"):
        debian.build(proxy, {}, ["proxy"], ["root", "kernel", "initrd"], "/nonexistent")
    with pytest.raises(InputError, match=r"roles\.proxy has no kernel, so there is no image in format installed, net"):
        debian.build(proxy, {}, ["proxy"], ["installed", "network"], "/nonexistent")


class Mirror(BaseHTTPRequestHandler):
    """Has something else under every name, or nothing."""

    content: t.ClassVar[bytes | None] = None
    #: Names of files that it has.
    has: t.ClassVar[t.Collection[str]] = ()
    asked: t.ClassVar[list[str]]

    def do_HEAD(self) -> None:
        self.asked.append(f"HEAD {os.path.basename(self.path)}")
        self.send_response(200 if self.content or os.path.basename(self.path) in self.has else 404)
        self.end_headers()

    def do_GET(self) -> None:
        self.asked.append(f"GET {os.path.basename(self.path)}")
        self.send_response(404 if self.content is None else 200)
        self.end_headers()
        self.wfile.write(self.content or b"")

    def log_message(self, *dummy: t.Any) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Mirror]]:
    class Handler(Mirror):
        asked: t.ClassVar[list[str]] = []

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        use_mirror(monkeypatch, server.server_address[1])
        yield Handler
        server.shutdown()


def use_mirror(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(
        debian_module, "configured_mirrors", lambda: {"debian": f"{url}/debian", "debian-security": f"{url}/security"}
    )


@pytest.mark.usefixtures("own_store")
def test_a_version_that_the_mirror_lost_is_known_before_anything_is_fetched(
    debian: Debian, proxy: str, mirror: type[Mirror]
) -> None:
    packages = json.loads(Path(proxy, "compose.lock.json").read_text())["packages"]
    lost = packages["nginx"]
    files = {os.path.basename(package["filename"]) for package in packages.values()}
    mirror.has = files - {os.path.basename(lost["filename"])}
    with pytest.raises(InputError) as refused:
        debian.build(proxy, {}, ["proxy"], ["root"], "/nonexistent")
    said = str(refused.value)
    named = re.escape(lost["version"]), re.escape(lost["filename"])
    assert re.search(r"no longer has the locked version of: nginx {} \(http://\S+/{}\);".format(*named), said)
    assert "run `ansible-playbook immutable.compose.lock`" in said
    assert [each for each in mirror.asked if each.startswith("GET")] == [f"GET {os.path.basename(lost['filename'])}"]


@pytest.mark.usefixtures("own_store")
def test_a_package_that_is_not_what_was_locked(debian: Debian, proxy: str, mirror: type[Mirror]) -> None:
    mirror.content = b"something else"
    with pytest.raises(
        ComposeError, match=r"what the mirror serves as \S+ \S+ is not what was locked: expected \S+, got"
    ):
        debian.build(proxy, {}, ["proxy"], ["root"], "/nonexistent")


@pytest.mark.usefixtures("own_store")
def test_a_mirror_that_does_not_answer(debian: Debian, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_mirror(monkeypatch, 9)
    monkeypatch.setenv("NIX_CONFIG", "download-attempts = 1")
    with pytest.raises(ComposeError, match=r"cannot fetch http://127\.0\.0\.1:9/.*configured mirrors"):
        debian.build(proxy, {}, ["proxy"], ["root"], "/nonexistent")


@pytest.mark.usefixtures("own_store")
def test_an_archive_that_apt_does_not_have(debian: Debian, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(proxy, "compose.lock.json")
    path.write_text(path.read_text().replace('"archive": "debian"', '"archive": "debian-security"'))
    monkeypatch.setattr(debian_module, "configured_mirrors", lambda: {"debian": "http://here"})
    monkeypatch.setenv("NIX_CONFIG", "download-attempts = 1")
    with pytest.raises(InputError, match=r"^\S+ \S+.*: from the archive debian-security, .* \(it has http://here\)"):
        debian.build(proxy, {}, ["proxy"], ["root"], "/nonexistent")


@pytest.mark.parametrize("small", ["store", "directory for builds"])
def test_no_space_is_found_before_anything_is_fetched(
    debian: Debian, proxy: str, own_store: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, small: str
) -> None:
    store = own_store / "store"
    if small == "store":
        store = small_disk
        monkeypatch.setenv("NIX_STORE_DIR", str(store))
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(
        ComposeError, match=rf"no space for the images of proxy: {small_disk} has \d MiB free, about \d+"
    ):
        debian.build(proxy, {}, ["proxy"], ["root"], str(own_store / "roots"))
    assert not list(store.glob("*.deb"))
    assert not (own_store / "roots").exists()


def test_a_full_disk_of_the_store(
    debian: Debian, proxy: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(monkeypatch, small_disk / "nix")
    with pytest.raises(ComposeError, match=r"store cannot be used: .* disk is full .*; make space there"):
        debian.build(proxy, {}, ["proxy"], ["root"], str(small_disk / "roots"))


def failing(tmp_path: Path, commands: str) -> ComposeError:
    """The explanation of a real build that runs these commands."""
    file, nix = write_build(tmp_path, commands), Nix(Progress(), REQUIRED)
    log = BuildLog(Progress(), str)
    with pytest.raises(NixBuildError) as failed:
        nix.realise(nix.instantiate(file, ["a"], {}), log, log.describe)
    return explain_failure(failed.value, {}, {})


@pytest.mark.usefixtures("own_store")
def test_a_killed_build(tmp_path: Path) -> None:
    assert "the build was killed (signal 9); run again" in str(failing(tmp_path, "kill -9 $$"))


@pytest.mark.usefixtures("own_store")
def test_a_full_disk_during_a_build(tmp_path: Path, small_disk: Path) -> None:
    error = failing(tmp_path, f"/bin/dd if=/dev/zero of={small_disk}/full bs=1M count=20")
    assert "no space left while building" in str(error)


@pytest.mark.usefixtures("own_store")
def test_another_failure_keeps_the_last_lines(tmp_path: Path) -> None:
    error = failing(tmp_path, "echo first; echo what was wrong >&2; exit 3")
    assert "what was wrong" in str(error)
    assert "failed with exit code 3" in str(error)


@pytest.mark.usefixtures("own_store")
def test_a_build_that_differs_is_told(tmp_path: Path) -> None:
    commands = "read -r id < /proc/sys/kernel/random/uuid; echo $id > $out"
    file, nix = write_build(tmp_path, commands), Nix(Progress(), REQUIRED)
    derivations = nix.instantiate(file, ["a"], {})
    nix.realise(derivations, BuildLog(Progress(), str), str)
    with pytest.raises(NixBuildError, match="may not be deterministic"):
        nix.realise(derivations, BuildLog(Progress(), str), str, "--check")
