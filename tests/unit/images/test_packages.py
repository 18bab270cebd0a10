"""Package lists: from the names of store paths, and as image.json has them."""

from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.images.packages import (
    from_store_paths,
    package_changes,
    package_diff,
    versions,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Package
from ansible_collections.immutable.compose.plugins.module_utils.model.step import Diff

HASH = "0c0fmz9y1ypxkgm4x9rl6dv0w3pgmrm7"


@pytest.mark.parametrize(
    ("name", "package", "version"),
    [
        ("hello-2.12.1", "hello", "2.12.1"),
        ("openssl-3.0.13-bin", "openssl", "3.0.13"),
        ("glibc-2.38-66", "glibc", "2.38-66"),
        ("glibc-2.38-66-getent", "glibc", "2.38-66"),
        ("python3.11-requests-2.31.0", "python3.11-requests", "2.31.0"),
        ("perl5.38.2-URI-5.21", "perl5.38.2-URI", "5.21"),
        ("gcc-13.2.0-lib", "gcc", "13.2.0"),
        ("pmix-3.2.3", "pmix", "3.2.3"),
        ("openpmix-4.2.2", "openpmix", "4.2.2"),
        ("xz-5.4.4-static", "xz", "5.4.4"),
        ("nss-cacert-3.92", "nss-cacert", "3.92"),
        ("tzdata-2024a", "tzdata", "2024a"),
        ("linux-6.6.8-modules", "linux", "6.6.8"),
        ("guile-fibers-1.1.1-0.c25dcb9", "guile-fibers", "1.1.1-0.c25dcb9"),
    ],
)
def test_name_and_version_of_a_store_path(name: str, package: str, version: str) -> None:
    for store in ("/nix/store", "/gnu/store"):
        path = f"{store}/{HASH}-{name}"
        assert from_store_paths([path]) == (Package(package, version, path),)


@pytest.mark.parametrize(
    "name",
    [
        "etc",
        "system-path",
        "unit-nginx.service",
        "unit-systemd-fsck-.service",
        "set-environment",
        "nginx.conf",
        "etc-udev-99-local.rules",
        "CVE-2023-1234.patch",
        "linux-6.6.8.tar.xz",
    ],
)
def test_what_has_no_version_is_left_out(name: str) -> None:
    assert from_store_paths([f"/nix/store/{HASH}-{name}"]) == ()


def test_names_are_split_as_nix_splits_them() -> None:
    names = [
        "a-1",
        "a-b-1.0",
        "a1-b2-3",
        "a-1-2b",
        "python3-3.11.2",
        "a-b1-0",
        "x-2024-01-01",
        "a--1",
        "lib-0.0-unstable-1",
    ]
    expression = f"map builtins.parseDrvName (builtins.fromJSON ''{json.dumps(names)}'')"
    done = subprocess.run(
        ["nix-instantiate", "--eval", "--strict", "--json", "-E", expression],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ours = {package.path[44:]: package for package in from_store_paths(f"/nix/store/{HASH}-{name}" for name in names)}
    for name, theirs in zip(names, json.loads(done.stdout), strict=True):
        if theirs["version"][:1].isdigit():
            assert (ours[name].name, ours[name].version) == (theirs["name"], theirs["version"])
        else:
            assert name not in ours


def test_outputs_of_one_package_are_one_version() -> None:
    paths = [f"/nix/store/{HASH}-openssl-3.0.13{output}" for output in ("", "-bin", "-man")]
    assert len(from_store_paths(paths)) == 3
    assert versions(from_store_paths(paths)) == {"openssl": "3.0.13"}


def test_package_changes_name_both_versions() -> None:
    assert package_changes({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == {
        "a": ["1", "2"],
        "b": ["1", None],
        "c": [None, "1"],
    }


def test_changes_are_shown_as_a_diff() -> None:
    changes = package_changes({"a": "1", "b": "1"}, {"a": "2", "c": "1"})
    diff = package_diff(changes, "old", "new")
    assert diff == Diff("old", "new", before="a 1\nb 1\n", after="a 2\nc 1\n")
