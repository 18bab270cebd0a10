"""The format ``oci`` of the builder ``debian``, by what the image specification of OCI says."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import typing as t
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian

from .conftest import Compose

ROLE = '{ ... }: { roles.proxy = { packages = [ "nginx-light" ]; files."/etc/motd".text = "an image of one layer"; }; }'


class Archive:
    """An image layout in a tar archive."""

    def __init__(self, path: str) -> None:
        with tarfile.open(path) as archive:
            self.files = {
                entry.name: t.cast("t.IO[bytes]", archive.extractfile(entry)).read()
                for entry in archive
                if entry.isfile()
            }

    def blob(self, descriptor: dict[str, t.Any]) -> bytes:
        """What a descriptor points to; it is what the descriptor says."""
        algorithm, digest = descriptor["digest"].split(":")
        content = self.files[f"blobs/{algorithm}/{digest}"]
        assert (algorithm, hashlib.sha256(content).hexdigest()) == ("sha256", digest)
        assert descriptor["size"] == len(content)
        return content


def test_an_archive_is_what_the_specification_says(debian: Debian, compose: Compose, tmp_path: Path) -> None:
    path = compose(ROLE, lock="web")
    what = (path, {}, ["proxy"], ["root", "oci"])
    image = debian.build(*what, str(tmp_path / "roots"))["proxy"]
    # A format of an image, not another image.
    assert debian.identify(path, {}, ["proxy"], ["root"]) == {"proxy": image.identity}
    archive = Archive(image.path("oci"))

    assert json.loads(archive.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (described,) = json.loads(archive.files["index.json"])["manifests"]
    reference = f"localhost/example-proxy:{image.identity}"
    assert described["annotations"] == {"org.opencontainers.image.ref.name": reference}
    assert described["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    manifest = json.loads(archive.blob(described))
    assert manifest["schemaVersion"] == 2 and manifest["mediaType"] == described["mediaType"]
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"

    content = gzip.decompress(archive.blob(layer))
    config = json.loads(archive.blob(manifest["config"]))
    assert (config["os"], config["architecture"]) == ("linux", image.architecture)
    assert config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]}
    assert config["config"] == {
        "Cmd": ["/sbin/init"],
        "StopSignal": "SIGRTMIN+3",
        "Labels": {"immutable.compose.role": "proxy", "immutable.compose.identity": image.identity},
    }
    with tarfile.open(fileobj=io.BytesIO(content)) as root:
        for name, text in (
            ("./usr/lib/compose/identity", f"{image.identity}\n"),
            ("./etc/motd", "an image of one layer"),
        ):
            assert t.cast("t.IO[bytes]", root.extractfile(name)).read().decode() == text
        assert root.getmember("./usr/bin/passwd").mode & 0o4000

    # What `docker load` reads: the same blobs.
    files = ["blobs/" + entry["digest"].replace(":", "/") for entry in (manifest["config"], layer)]
    assert json.loads(archive.files["manifest.json"]) == [
        {"Config": files[0], "RepoTags": [reference], "Layers": [files[1]]}
    ]
    assert len(archive.files) == 6
    assert debian.check_reproducible(*what) == {"proxy": ""}
