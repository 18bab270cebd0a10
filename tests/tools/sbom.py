# SPDX-License-Identifier: GPL-3.0-or-later
"""The SBOM of a release of the collection: CycloneDX, the same for the same tarball."""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from pathlib import Path

import yaml
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

#: What is needed, and for what: file of the collection.
NEEDS = {"requirements.txt": "required", "requirements-sbom.txt": "optional"}


def write(source: Path, tarball: Path, path: Path, epoch: int) -> None:
    """Write the SBOM of a tarball, made at that time.

    The collection has no code of others in it. What it needs is installed by whoever uses it, so its components are
    names with the lowest version that will do.
    """
    galaxy = yaml.safe_load((source / "galaxy.yml").read_text())
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    collection = Component(
        name=f"{galaxy['namespace']}.{galaxy['name']}",
        version=galaxy["version"],
        type=ComponentType.LIBRARY,
        bom_ref="collection",
        licenses=[LicenseExpression(" AND ".join(galaxy["license"]))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        purl=PackageURL("generic", galaxy["namespace"], galaxy["name"], galaxy["version"]),
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest))
    bom.metadata.component = collection
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    needed = []
    for file, scope in NEEDS.items():
        for name, lowest, reason in re.findall(
            r"^([\w-]+)>=([\d.]+) +# (.+)$", (source / file).read_text(), re.MULTILINE
        ):
            component = Component(
                name=name,
                version=f">={lowest}",
                type=ComponentType.LIBRARY,
                bom_ref=name,
                description=f"{scope}: {reason}",
                purl=PackageURL("pypi", None, name.lower()),
            )
            bom.components.add(component)
            needed.append(component)
    bom.register_dependency(collection, needed)
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
