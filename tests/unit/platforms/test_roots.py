"""Root file systems as directories: mounted or unpacked, all or nothing."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.image import ARCHITECTURES, Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.platforms.nspawn import roots as roots_module
from ansible_collections.immutable.compose.plugins.module_utils.platforms.nspawn.roots import Roots
from ansible_collections.immutable.compose.plugins.module_utils.process import run
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress


@pytest.fixture
def roots(tmp_path: Path) -> t.Iterator[Roots]:
    (tmp_path / "progress").touch()
    roots = Roots(str(tmp_path / "state"), Progress(str(tmp_path / "progress")))
    yield roots
    roots.drop(set())


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image with one file."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/hello").write_text("world")
    command = ["mksquashfs", str(tmp_path / "tree"), str(tmp_path / "root"), "-quiet", "-no-progress"]
    subprocess.run(command, check=True, capture_output=True)
    size = (tmp_path / "root").stat().st_size
    return Image(
        "node",
        "debian",
        "an-image",
        ARCHITECTURES[os.uname().machine],
        {"root": ImageFile("root", size, "")},
        str(tmp_path),
    )


def in_layers(image: Image, tmp_path: Path) -> None:
    """Make of an image one whose file is in the lower layer, and lacks one that the upper one has removed."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "tree/hello").rename(tmp_path / "packages/hello")
    (tmp_path / "packages/gone").touch()
    (tmp_path / "role").mkdir(mode=0o750)
    os.mknod(tmp_path / "role/gone", 0o20000, os.makedev(0, 0))
    (tmp_path / "root").unlink()
    layers = [str(tmp_path / layer) for layer in ("role", "packages")]
    command = ["mksquashfs", *layers, image.path("root"), "-quiet", "-no-progress"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def no_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host like a container, where file systems cannot be mounted."""

    def without(command: t.Sequence[str], **options: t.Any) -> t.Any:
        if command[0] == "mount":
            raise CommandError("mount", 32, "mount: permission denied.")
        return run(command, **options)

    monkeypatch.setattr(roots_module, "run", without)


@pytest.mark.parametrize("layered", [True, False], ids=["layered", "whole"])
@pytest.mark.parametrize("mounts", [True, False], ids=["mounted", "unpacked"])
def test_a_root_is_staged_once_and_dropped(
    roots: Roots, image: Image, tmp_path: Path, request: pytest.FixtureRequest, mounts: bool, layered: bool
) -> None:
    if layered:
        in_layers(image, tmp_path)
    if not mounts:
        request.getfixturevalue("no_mounts")
    assert roots.stage(image)
    root = Path(roots.path("an-image"))
    assert [path.name for path in root.iterdir()] == ["hello"]
    assert (root / "hello").read_text() == "world"
    assert not layered or root.stat().st_mode & 0o777 == 0o750
    assert root.is_mount() is mounts
    assert ("cannot be mounted here (mount: permission denied.)" in (tmp_path / "progress").read_text()) is not mounts
    assert not roots.stage(image)
    roots.drop({"an-image"})
    assert (root / "hello").exists()
    roots.drop(set())
    assert not Path(roots.directory).exists()


@pytest.mark.usefixtures("no_mounts")
def test_what_a_killed_run_left_does_not_pass_for_staged(roots: Roots, image: Image) -> None:
    half = Path(roots.path(".an-image"))
    half.mkdir(parents=True)
    (half / "half").touch()
    Path(roots.path("an-image")).mkdir()
    assert roots.stage(image)
    assert [path.name for path in Path(roots.path("an-image")).iterdir()] == ["hello"]


@pytest.mark.usefixtures("no_mounts")
@pytest.mark.parametrize("format_", ["root", "toplevel"])
def test_what_has_its_name_is_on_the_disk(
    roots: Roots, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    if format_ == "toplevel":
        (tmp_path / "system/etc").mkdir(parents=True)
        (tmp_path / "system/etc/os-release").write_text("ID=nixos\n")
        image = Image(**{**image.__dict__, "formats": {"toplevel": ImageFile("system", 1, "")}})
    synced: list[tuple[str, bool]] = []

    def sync(directory: str) -> None:
        synced.append((directory, os.path.isdir(roots.path("an-image")) and bool(os.listdir(roots.path("an-image")))))

    monkeypatch.setattr(roots_module, "sync_below", sync, raising=False)
    assert roots.stage(image)
    assert synced == [(roots.path(".an-image"), False)]


@pytest.mark.usefixtures("no_mounts")
def test_no_space_to_unpack(image: Image, small_disk: Path) -> None:
    roots = Roots(str(small_disk), Progress())
    large = Image(**{**image.__dict__, "formats": {"root": ImageFile("root", 2 << 20, "")}})
    with pytest.raises(ComposeError, match=r"no space to unpack an-image: \S+ has [78] MiB free, up to 10 MiB"):
        roots.stage(large)
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("no_mounts")
def test_a_broken_file_is_told_and_leaves_nothing(roots: Roots, image: Image, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("no squashfs")
    with pytest.raises(CommandError, match="unsquashfs"):
        roots.stage(image)
    assert list(Path(roots.path("an-image")).iterdir()) == []
    assert not Path(roots.path(".an-image")).exists()
