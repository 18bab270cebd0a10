"""The module image_info: what is in a bundle, and what differs between two."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images import inspect as images
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile, Package


def inspect(path: str, compare_to: str | None, *, diff: bool) -> dict[str, t.Any]:
    """What the module returns."""
    result: dict[str, t.Any] = codec.encode(images.inspect(path, compare_to, diff=diff))
    return result


FORMATS = {"root": ImageFile("root.squashfs", 4096, "0" * 64)}


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    packages = Package("nginx", "1.22"), Package("tree", "2.1")
    codec.write(str(tmp_path / "new/image.json"), Image("proxy", "debian", "new", "amd64", FORMATS, packages=packages))
    return str(tmp_path / "new")


@pytest.fixture
def older(tmp_path: Path) -> str:
    packages = Package("nginx", "1.21"), Package("gone", "1")
    codec.write(str(tmp_path / "old/image.json"), Image("proxy", "debian", "old", "amd64", FORMATS, packages=packages))
    return str(tmp_path / "old")


def test_the_image_is_told(bundle: str) -> None:
    result = inspect(bundle, None, diff=True)
    image = result["image"]
    assert result["changed"] is False and "diff" not in result
    assert (image["role"], image["builder"], image["identity"], image["bundle"]) == ("proxy", "debian", "new", bundle)
    assert image["formats"]["root"]["file"] == "root.squashfs"
    assert {"name": "tree", "version": "2.1", "path": "", "source": "", "sha256": ""} in image["packages"]
    assert inspect(f"{bundle}/image.json", None, diff=False)["image"] == image


def test_two_images_are_compared(bundle: str, older: str) -> None:
    result = inspect(bundle, older, diff=True)
    assert result["changes"] == {"gone": ["1", None], "nginx": ["1.21", "1.22"], "tree": [None, "2.1"]}
    assert result["changed"] is True
    (diff,) = result["diff"]
    assert (diff["before_header"], diff["after_header"]) == ("old", "new")
    assert (diff["before"], diff["after"]) == ("gone 1\nnginx 1.21\n", "nginx 1.22\ntree 2.1\n")


def test_a_question_changes_nothing(bundle: str, older: str) -> None:
    assert inspect(bundle, older, diff=False)["changed"] is False
    same = inspect(bundle, bundle, diff=True)
    assert (same["changed"], same["changes"]) == (False, {})


@pytest.mark.parametrize("content", [None, "no JSON", "{}"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "image.json").write_text(content)
    with pytest.raises(InputError) as error:
        inspect(str(tmp_path), None, diff=False)
    assert str(tmp_path) in str(error.value)
