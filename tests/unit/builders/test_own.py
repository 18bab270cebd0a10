"""Debian packages and tarballs of a composition's own."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import typing as t
from pathlib import Path

import pytest
from debs import write_deb

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import Wanted, make_lock
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.own import (
    OwnArchive,
    OwnFile,
    locate,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.listing import list_image
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import Compose, nothing_in

ROLE = """{ ... }: { roles.proxy = {
  packages = [ "nginx-light" ./debs/our_1.2_amd64.deb ];
  archives.tool = { version = "2.1"; source = ./tool-2.1.tar.gz; dest = "/opt"; };
}; }"""


def write_tarball(file: Path, *members: tarfile.TarInfo, suffix: str = "gz") -> Path:
    with tarfile.open(file, f"w:{suffix}") as archive:
        for member in members or (tarfile.TarInfo("tool-2.1/bin/tool"),):
            member.size = 5 if member.isreg() else 0
            member.uid = member.gid = 1234
            archive.addfile(member, io.BytesIO(b"tool\n"))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Site:
    """A composition whose role ``proxy`` has a package and a tarball of its own, which are locked."""

    def __init__(self, compose: Compose) -> None:
        self.path = compose(ROLE, lock="web")
        self.deb = Path(self.path, "debs/our_1.2_amd64.deb")
        self.tarball = write_tarball(Path(self.path, "tool-2.1.tar.gz"))
        write_deb(self.deb)
        file = Path(self.path, "compose.lock.json")
        lock = json.loads(file.read_text())
        lock["packages"]["our"] = {
            "version": "1:1.2~a-1",
            "architecture": "all",
            "archive": "composition",
            "filename": "debs/our_1.2_amd64.deb",
            "size": self.deb.stat().st_size,
            "sha256": sha256(self.deb),
        }
        proxy = lock["roles"]["proxy"]
        proxy["requested"] = ["./debs/our_1.2_amd64.deb", "nginx-light"]
        proxy["packages"] = sorted([*proxy["packages"], "our"])
        size = self.tarball.stat().st_size
        tool = {"version": "2.1", "filename": "tool-2.1.tar.gz", "size": size, "sha256": sha256(self.tarball)}
        proxy["archives"] = {"tool": tool}
        file.write_text(json.dumps(lock))


@pytest.fixture
def site(compose: Compose) -> Site:
    return Site(compose)


def test_an_evaluation_says_what_is_the_compositions_own(debian: Debian, site: Site) -> None:
    role = debian.evaluate(site.path, {}).roles["proxy"]
    assert role.identity is not None
    assert (role.packages["our"], role.packages["tool"]) == ("1:1.2~a-1", "2.1")
    assert role.own == {"our": sha256(site.deb), "tool": sha256(site.tarball)}


def test_where_a_composition_lies_is_no_matter(debian: Debian, site: Site, tmp_path: Path) -> None:
    before = debian.evaluate(site.path, {})
    (tmp_path / "else where").mkdir()
    moved = Path(site.path).rename(tmp_path / "else where/example")
    after = debian.evaluate(str(moved), {})
    assert (after.digest, after.roles) == (before.digest, before.roles)
    debian.build(str(moved), {}, ["proxy"], ["root"], str(tmp_path / "roots"))


def test_images_have_them(debian: Debian, site: Site, tmp_path: Path) -> None:
    image = debian.build(site.path, {}, ["proxy"], ["root"], str(tmp_path / "roots"))["proxy"]
    own = {each.name: (each.version, each.source, each.sha256) for each in image.packages if each.sha256}
    assert own == {"our": ("1:1.2~a-1", "", sha256(site.deb)), "tool": ("2.1", "", sha256(site.tarball))}
    listed = list_image(image).entries
    assert [listed[path].owner.split()[1:] for path in ("usr/bin/our", "opt/tool-2.1/bin/tool")] == [["0", "0"]] * 2


@pytest.mark.usefixtures("own_store")
@pytest.mark.parametrize("what", ["packages", "archives.tool"])
def test_another_file_than_the_locked_one_is_refused(debian: Debian, site: Site, tmp_path: Path, what: str) -> None:
    file = site.deb if what == "packages" else site.tarball
    before = sha256(file)
    file.write_bytes(file.read_bytes() + b"\n")
    said = f"roles.proxy.{what}: {file} is not what was locked: its SHA-256 is {sha256(file)}, the lock has {before}"
    for refuse in (
        lambda: debian.identify(site.path, {}, ["proxy"], ["root"]),
        lambda: debian.build(site.path, {}, ["proxy"], ["root"], "/nonexistent"),
    ):
        with pytest.raises(InputError, match="run `ansible-playbook immutable.compose.lock`") as refused:
            refuse()
        assert said in refused.value.message
    assert debian.evaluate(site.path, {}).roles["proxy"].identity is None
    assert nothing_in(tmp_path / "nix")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"2.1"', '"2.2"', "roles.proxy.archives.tool.version is '2.2', the lock has '2.1'"),
        ("./tool-2.1", "./copy-2.1", "archives.tool.source is 'copy-2.1.tar.gz', the lock has 'tool-2.1.tar.gz'"),
        (
            "archives.tool",
            "archives.mine",
            "archives.tool is locked but no longer wanted; roles.proxy.archives.mine is not",
        ),
        ("./debs/our_1.2_amd64.deb", "", "roles.proxy.packages: './debs/our_1.2_amd64.deb' is locked but no longer"),
    ],
)
def test_a_lock_fits_what_it_was_made_for(
    debian: Debian, compose: Compose, site: Site, old: str, new: str, expected: str
) -> None:
    shutil.copy(site.tarball, Path(site.path, "copy-2.1.tar.gz"))
    compose(ROLE.replace(old, new))
    with pytest.raises(InputError, match="does not match the composition") as refused:
        debian.identify(site.path, {}, ["proxy"], ["root"])
    assert expected in refused.value.message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("./debs", "./none", "roles.proxy.packages: there is no file {path}/none/our_1.2_amd64.deb"),
        ("./tool", "./none", "roles.proxy.archives.tool: there is no file {path}/none-2.1.tar.gz"),
        ("./debs", "../debs", "roles.proxy.packages: {parent}/debs/our_1.2_amd64.deb is outside of the composition's"),
        ("./debs/our", "./link", "roles.proxy.packages: {path}/link_1.2_amd64.deb is outside of the composition's"),
        ("./debs/our", '(./debs + "/a b")', "a b_1.2_amd64.deb: its name may have letters"),
        ("./debs/our_1.2_amd64.deb", "./tool-2.1.tar.gz", "roles.proxy.packages[1]: "),
        ("./tool-2.1.tar.gz", "./tool.zip", "roles.proxy.archives.tool.source: "),
        ('version = "2.1";', "", "roles.proxy.archives.tool.version: is missing"),
        ('version = "2.1";', 'version = "";', "roles.proxy.archives.tool.version: '' does not match"),
        ("archives.tool", 'archives."../tool"', 'roles.proxy.archives."../tool": not a valid name'),
        ('"/opt"', '"/usr/lib"', "roles.proxy.archives.tool.dest: /usr/lib is a directory of the whole system"),
        ('"/opt"', '"/lib/compose/a"', "roles.proxy.archives.tool.dest: /lib/compose/a belongs to the node itself"),
    ],
)
def test_what_no_composition_may_have(
    debian: Debian, compose: Compose, site: Site, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    write_deb(tmp_path / "elsewhere.deb")
    Path(site.path, "link_1.2_amd64.deb").symlink_to(tmp_path / "elsewhere.deb")
    write_deb(Path(site.path, "debs", "a b_1.2_amd64.deb"))
    text = ROLE.replace(old, new)
    compose(text.replace('(./debs + "/a b")_1.2_amd64.deb', '(./debs + "/a b_1.2_amd64.deb")'))
    with pytest.raises(InputError) as refused:
        debian.evaluate(site.path, {})
    assert expected.format(path=site.path, parent=Path(site.path).parent) in refused.value.message


def lock_of(directory: Path, *debs: Path, packages: t.Sequence[str] = (), **archives: Path) -> dict[str, t.Any]:
    files = tuple(OwnFile(str(directory), str(file.relative_to(directory))) for file in debs)
    tarballs = {name: OwnArchive("1", OwnFile(str(directory), file.name)) for name, file in archives.items()}
    return make_lock("bookworm", "amd64", {"a": Wanted(tuple(packages), debs=files, archives=tarballs)}, Progress())


def test_a_file_that_is_no_package_of_this_architecture(tmp_path: Path) -> None:
    (tmp_path / "text.deb").write_text("no package\n")
    with pytest.raises(
        InputError, match=rf"^roles\.a\.packages: {tmp_path}/text\.deb is not a Debian package: .*archive"
    ):
        lock_of(tmp_path, tmp_path / "text.deb")
    other = write_deb(tmp_path / "other.deb", architecture="arm64")
    with pytest.raises(InputError, match=r"other\.deb is for the architecture 'arm64', the image is for 'amd64'$"):
        lock_of(tmp_path, other)


def test_two_files_with_one_name(tmp_path: Path) -> None:
    debs = write_deb(tmp_path / "a.deb"), write_deb(tmp_path / "b.deb", version="2")
    with pytest.raises(InputError, match=rf"{tmp_path}/a\.deb and {tmp_path}/b\.deb are both the package 'our'$"):
        lock_of(tmp_path, *debs)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (member("/etc/passwd"), "leads out of"),
        (member("tool/../../etc/passwd"), "leads out of"),
        (member("tool/link", tarfile.LNKTYPE, "/etc/shadow"), "leads out of"),
        (member("tool/null", tarfile.CHRTYPE), "is neither a file nor a link"),
    ],
)
def test_a_tarball_that_leads_out_of_its_directory(tmp_path: Path, wrong: tarfile.TarInfo, why: str) -> None:
    tarball = write_tarball(
        tmp_path / "tool.tar.gz", member("tool/good"), member("tool/to", tarfile.SYMTYPE, "/etc"), wrong
    )
    with pytest.raises(InputError, match=rf"^roles\.a\.archives\.tool: {tarball}: '{wrong.name}' {why}"):
        lock_of(tmp_path, tool=tarball)


def test_a_file_that_is_no_tarball(tmp_path: Path) -> None:
    (tmp_path / "tool.tar.gz").write_text("no tarball\n")
    cut = write_tarball(tmp_path / "cut.tar.xz", suffix="xz")
    cut.write_bytes(cut.read_bytes()[:100])
    for file in (tmp_path / "tool.tar.gz", cut):
        with pytest.raises(InputError, match=rf"^roles\.a\.archives\.tool: {file} is not a readable tarball: "):
            lock_of(tmp_path, tool=file)


@pytest.mark.usefixtures("fetched")
def test_what_a_file_depends_on_is_locked(tmp_path: Path) -> None:
    deb = write_deb(tmp_path / "our.deb", depends="tree (>= 2), libc6")
    lock = lock_of(tmp_path, deb, tool=write_tarball(tmp_path / "tool.tar"))
    assert lock["roles"]["a"]["requested"] == ["./our.deb"]
    assert lock["roles"]["a"]["packages"] == ["our", "tree"]
    assert lock["packages"]["tree"]["archive"] == "debian"
    size = deb.stat().st_size
    assert lock["packages"]["our"] == {
        "version": "1:1.2~a-1",
        "architecture": "all",
        "archive": "composition",
        "filename": "our.deb",
        "size": size,
        "sha256": sha256(deb),
    }
    assert lock["roles"]["a"]["archives"]["tool"]["filename"] == "tool.tar"


@pytest.mark.usefixtures("fetched")
def test_what_a_file_may_not_be(tmp_path: Path) -> None:
    lost = write_deb(tmp_path / "lost.deb", depends="no-such-package")
    with pytest.raises(
        InputError, match=rf"roles\.a\.packages: apt cannot resolve .*{lost}:[\s\S]*our : Depends: no-such-package"
    ):
        lock_of(tmp_path, lost)
    bash = write_deb(tmp_path / "bash.deb", package="bash", version="99")
    with pytest.raises(InputError, match=r"bash would be 99 \(bash\.deb\) there, and is 5\S* \(pool\S+\) elsewhere"):
        lock_of(tmp_path, bash)
    with pytest.raises(InputError, match=r"roles\.a\.archives\.tree: \S*/t\.tar has the name of a package of the role"):
        lock_of(tmp_path, packages=["tree"], tree=write_tarball(tmp_path / "t.tar", suffix=""))


def test_a_file_outside_is_not_looked_at(tmp_path: Path) -> None:
    for source in ("../nothing.deb", "/etc/shadow"):
        with pytest.raises(InputError, match="is outside of the composition's directory"):
            locate(str(tmp_path), source, "roles.a.packages")
