"""Disk images, by the real ``qemu-img``."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import ApiError
from .tasks import say

#: Real path → the path that a node would tell.
Names = t.Mapping[str, str]

_known: dict[tuple[Path, str | None], tuple[tuple[int, ...], dict[str, t.Any]]] = {}


@dataclass
class ImageInfo:
    """What ``qemu-img info`` tells; sizes in bytes."""

    size: int
    used: int
    format: str
    parent: str | None
    ctime: int


@functools.cache
def qemu_version() -> str:
    """The version of the QEMU at hand."""
    told = subprocess.run(["qemu-img", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"version ([\d.]+)", told)[1]  # type: ignore[index]


def qemu_img(arguments: list[str], names: Names, directory: Path | None = None) -> str:
    """Runs ``qemu-img``; dies with its last words, in paths of the node."""
    result = subprocess.run(["qemu-img", *arguments], capture_output=True, text=True, check=False, cwd=directory)
    if result.returncode:
        command = _renamed(" ".join(arguments), names)
        say(f"command '/usr/bin/qemu-img {command}' failed: exit code {result.returncode}")
        raise ApiError(_renamed(result.stderr.strip().splitlines()[-1], names))
    return result.stdout


def _renamed(text: str, names: Names) -> str:
    for real, told in names.items():
        text = text.replace(real, told)
    return text


def info(path: Path, image_format: str | None, names: Names, *, untrusted: bool = False) -> ImageInfo:
    """Size and format of an image.

    :param untrusted: refuses an image that refers to other files
    """
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise ApiError(f"failed to stat '{_renamed(str(path), names)}'") from None
    told = _told(path, image_format, (stat.st_mtime_ns, stat.st_size, stat.st_ino), names)
    name = _renamed(str(path), names)
    parent = told.get("backing-filename")
    if untrusted and told.get("format-specific", {}).get("data", {}).get("data-file"):
        raise ApiError(f"{name}: 'data-file' references are not allowed!")
    if untrusted and parent:
        raise ApiError(f"backing file not allowed for untrusted image '{name}'!")
    return ImageInfo(int(told["virtual-size"]), int(told["actual-size"]), told["format"], parent, int(stat.st_ctime))


def _told(path: Path, image_format: str | None, stamp: tuple[int, ...], names: Names) -> dict[str, t.Any]:
    """What ``qemu-img info`` tells, remembered as long as the file is unchanged."""
    known = _known.get((path, image_format))
    if known is None or known[0] != stamp:
        chosen = ["-f", image_format] if image_format else []
        known = stamp, json.loads(qemu_img(["info", "--output=json", "-U", str(path), *chosen], names))
        _known[path, image_format] = known
    return known[1]


def create(path: Path, image_format: str, size: int, names: Names) -> None:
    """An empty image of so many bytes; the directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image_format == "qcow2":
        path.write_bytes(_empty(size))
    else:
        qemu_img(["create", "-q", "-f", image_format, str(path), str(size)], names)
    say(f"Formatting '{_renamed(str(path), names)}', fmt={image_format} size={size}")


@functools.lru_cache(maxsize=64)
def _empty(size: int) -> bytes:
    """An empty qcow2 image, made once: a fleet has many disks of one size."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "empty")
        qemu_img(["create", "-q", "-f", "qcow2", str(path), str(size)], {directory: ""})
        return path.read_bytes()


def create_backed(path: Path, base: str, base_format: str, names: Names) -> None:
    """A copy-on-write image of a base, which is told relative to the image's directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    qemu_img(["create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, str(path)], names, path.parent)


def duplicate(source: Path, target: Path) -> None:
    """Copies a file as it is; the directory is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def convert(
    source: Path, source_format: str, target: Path, target_format: str, names: Names, snapshot: str = ""
) -> None:
    """Copies the content of an image (or of one of its snapshots) into an existing one."""
    chosen = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
    arguments = ["convert", "-U", "-n", *chosen, "-f", source_format, "-O", target_format, str(source), str(target)]
    qemu_img(arguments, names)


def snapshot(path: Path, action: t.Literal["-c", "-a", "-d"], name: str, names: Names) -> None:
    """Makes, applies or removes a snapshot inside a qcow2 image."""
    qemu_img(["snapshot", action, name, str(path)], names)


def snapshots(path: Path, names: Names) -> set[str]:
    """Names of the snapshots inside a qcow2 image."""
    told = json.loads(qemu_img(["info", "--output=json", "-U", str(path)], names))
    return {one["name"] for one in told.get("snapshots", [])}


def resize(path: Path, image_format: str, size: int, names: Names) -> None:
    """Enlarges an image."""
    qemu_img(["resize", "-q", "-f", image_format, str(path), str(size)], names)


def remove(path: Path) -> None:
    """Removes an image, and its directory when that is empty."""
    path.unlink()
    if not any(path.parent.iterdir()) and path.parent.name.isdigit():
        shutil.rmtree(path.parent)
