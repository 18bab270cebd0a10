"""SBOM: valid by the libraries' own validators, complete, and the same whenever they are written."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.packages import from_store_paths
from ansible_collections.immutable.compose.plugins.module_utils.images.sbom import WRITERS
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, Package
from ansible_collections.immutable.compose.plugins.modules.image_sbom import write

HASH = "77jfpxgn6zq7qf2wmdj64pigam96rczi"
IDENTITY = f"{HASH}-web-proxy"
STORE = [f"/nix/store/{HASH}-{name}" for name in ("openssl-3.0.13", "openssl-3.0.13-bin", "glibc-2.38-66")]
GUIX = (f"/gnu/store/{HASH}-openpmix-4.2.2",)

IMAGES = {
    "debian": Image(
        "proxy",
        "debian",
        IDENTITY,
        "amd64",
        {},
        packages=(
            Package("base-files", "12.4+deb12u12"),
            Package("libstdc++6", "12.2.0-14+deb12u1", source="gcc-12"),
            Package("redis", "5:7.0.15-1~deb12u5"),
        ),
    ),
    "own": Image("proxy", "debian", IDENTITY, "amd64", {}, packages=(Package("our", "1:1.2~a-1", sha256="ab" * 32),)),
    "nix": Image("proxy", "nixos", IDENTITY, "amd64", {}, packages=from_store_paths(STORE)),
    "guix": Image("proxy", "guix", IDENTITY, "amd64", {}, packages=from_store_paths(GUIX)),
    "empty": Image("proxy", "guix", IDENTITY, "amd64", {}),
}
PURLS = {
    "debian": [
        "pkg:deb/debian/base-files@12.4%2Bdeb12u12?distro=debian-12",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?distro=debian-12&upstream=gcc-12",
        "pkg:deb/debian/redis@5:7.0.15-1~deb12u5?distro=debian-12",
    ],
    "own": [f"pkg:generic/our@1:1.2~a-1?checksum=sha256:{'ab' * 32}"],
    "nix": ["pkg:nix/glibc@2.38-66", "pkg:nix/openssl@3.0.13", "pkg:nix/openssl@3.0.13"],
    "guix": ["pkg:guix/openpmix@4.2.2"],
    "empty": [],
}


@pytest.fixture(params=IMAGES)
def kind(request: pytest.FixtureRequest) -> str:
    return t.cast(str, request.param)


def test_cyclonedx_is_valid_and_complete(kind: str) -> None:
    text = WRITERS["cyclonedx"](IMAGES[kind])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["version"] == IDENTITY
    assert sorted(component["purl"] for component in document.get("components", [])) == PURLS[kind]
    paths = {each["value"] for component in document.get("components", []) for each in component.get("properties", [])}
    assert paths == {package.path for package in IMAGES[kind].packages if package.path}
    hashes = {each["content"] for component in document.get("components", []) for each in component.get("hashes", [])}
    assert hashes == {package.sha256 for package in IMAGES[kind].packages if package.sha256}


def test_spdx_is_valid_and_complete(kind: str) -> None:
    document = json.loads(WRITERS["spdx"](IMAGES[kind]))
    assert validate_full_spdx_document(JsonLikeDictParser().parse(document)) == []
    system, *packages = document["packages"]
    assert (system["name"], system["versionInfo"]) == ("proxy", IDENTITY)
    assert sorted(package["externalRefs"][0]["referenceLocator"] for package in packages) == PURLS[kind]
    contained = {
        each["relatedSpdxElement"] for each in document["relationships"] if each["relationshipType"] == "CONTAINS"
    }
    assert contained == {package["SPDXID"] for package in packages}
    hashes = {each["checksumValue"] for package in packages for each in package.get("checksums", [])}
    assert hashes == {package.sha256 for package in IMAGES[kind].packages if package.sha256}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    codec.write(str(tmp_path / "bundle/image.json"), IMAGES["debian"])
    return tmp_path / "bundle"


@pytest.mark.parametrize("format_", WRITERS)
def test_the_file_is_written_once(format_: str, bundle: Path, tmp_path: Path) -> None:
    dest = tmp_path / "sbom.json"
    assert write(str(bundle), str(dest), format_, dry=True)["changed"]
    assert not dest.exists()
    first = write(str(bundle), str(dest), format_, dry=False)
    assert (first["changed"], first["packages"], first["identity"]) == (True, 3, IDENTITY)
    text = dest.read_text()
    again = write(str(bundle / "image.json"), str(dest), format_, dry=False)
    assert (again["changed"], again["diff"], dest.read_text()) == (False, [], text)


@pytest.mark.parametrize(("format_", "module", "library"), [
    ("cyclonedx", "cyclonedx.model", "cyclonedx-python-lib"),
    ("spdx", "spdx_tools.spdx", "spdx-tools"),
    ("spdx", "packageurl", "packageurl-python"),
])  # fmt: skip
def test_a_missing_library_is_named(format_: str, module: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ComposeError) as error:
        WRITERS[format_](IMAGES["debian"])
    assert "is missing from" in str(error.value) and f"-m pip install '{library}>=" in str(error.value)


def test_wrong_paths_are_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an image bundle"):
        write(str(tmp_path / "nothing"), str(tmp_path / "a.json"), "spdx", dry=False)
    with pytest.raises(InputError, match="does not exist"):
        write(str(bundle), str(tmp_path / "no/a.json"), "spdx", dry=False)
    with pytest.raises(InputError, match="is a directory"):
        write(str(bundle), str(tmp_path), "spdx", dry=False)
