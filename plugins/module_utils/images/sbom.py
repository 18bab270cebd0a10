# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Software bills of materials (SBOM) of an image, by the libraries of the two formats. PRIVATE to the collection.

The same image gives the same text: numbers that identify a document are made from the image's identity, and its date is
always the one that the stores of Nix and Guix give to all files.
"""

from __future__ import annotations

import io
import typing as t
import uuid
from datetime import datetime, timezone

from ..libraries import missing_library
from ..model.image import Image, Package
from .advisories import debian_release, distribution_of

if t.TYPE_CHECKING:
    from packageurl import PackageURL

#: One second after the epoch of Unix.
CREATED = datetime.fromtimestamp(1, timezone.utc)

#: Namespace of the UUIDs.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "immutable.compose")


def cyclonedx(image: Image) -> str:
    """CycloneDX 1.6 as JSON. :raises ComposeError: the library is not installed."""
    try:
        from cyclonedx.model import HashAlgorithm, HashType, Property
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
    except ImportError:
        raise missing_library("cyclonedx", what="a list of packages in CycloneDX") from None
    bom = Bom(serial_number=_uuid(image, "cyclonedx"))
    bom.metadata.timestamp = CREATED
    system = Component(
        name=image.role, version=image.identity, type=ComponentType.OPERATING_SYSTEM, bom_ref=image.identity
    )
    bom.metadata.component = system
    release = debian_release(image.packages)
    for package in image.packages:
        purl = _purl(package, release)
        bom.components.add(
            Component(
                name=package.name,
                version=package.version,
                type=ComponentType.LIBRARY,
                bom_ref=package.path or purl.to_string(),
                purl=purl,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)] if package.sha256 else [],
                properties=[Property(name="immutable.compose:path", value=package.path)] if package.path else [],
            )
        )
    bom.register_dependency(system, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1) + "\n"


def spdx(image: Image) -> str:
    """SPDX 2.3 as JSON. :raises ComposeError: a library is not installed."""
    try:
        from spdx_tools.spdx import model
        from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream
    except ImportError:
        raise missing_library("spdx_tools", what="a list of packages in SPDX") from None

    def describe(id_: str, name: str, version: str, purl: str | None = None, path: str = "", sha256: str = "") -> t.Any:
        manager = model.ExternalPackageRefCategory.PACKAGE_MANAGER
        return model.Package(
            spdx_id=id_,
            name=name,
            version=version,
            download_location=model.SpdxNoAssertion(),
            files_analyzed=False,
            comment=path or None,
            checksums=[model.Checksum(model.ChecksumAlgorithm.SHA256, sha256)] if sha256 else [],
            external_references=[model.ExternalPackageRef(manager, "purl", purl)] if purl else [],
        )

    system = "SPDXRef-image"
    packages = [describe(system, image.role, image.identity)]
    relationships = [model.Relationship("SPDXRef-DOCUMENT", model.RelationshipType.DESCRIBES, system)]
    release = debian_release(image.packages)
    for number, package in enumerate(image.packages, 1):
        id_ = f"SPDXRef-package-{number}"
        purl = _purl(package, release).to_string()
        packages.append(describe(id_, package.name, package.version, purl, package.path, package.sha256))
        relationships.append(model.Relationship(system, model.RelationshipType.CONTAINS, id_))
    document = model.Document(
        model.CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id="SPDXRef-DOCUMENT",
            name=image.identity,
            document_namespace=f"https://spdx.org/spdxdocs/{image.identity}-{_uuid(image, 'spdx')}",
            creators=[model.Actor(model.ActorType.TOOL, "immutable.compose")],
            created=CREATED.replace(tzinfo=None),
        ),
        packages=packages,
        relationships=relationships,
    )
    text = io.StringIO()
    write_document_to_stream(document, text, validate=False)
    return text.getvalue() + "\n"


#: Name of a format → what writes it.
WRITERS: t.Mapping[str, t.Callable[[Image], str]] = {"cyclonedx": cyclonedx, "spdx": spdx}


def _uuid(image: Image, format_: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"{format_} {image.identity}")


def _purl(package: Package, release: str) -> PackageURL:
    """Package URL. Its specification has no types for Nix and Guix yet; ``nix`` and ``guix`` are what others use.

    :param release: of Debian, by which scanners choose what they compare with.
    """
    try:
        from packageurl import PackageURL
    except ImportError:
        raise missing_library("packageurl", what="a list of packages") from None
    distribution = distribution_of(package)
    if distribution == "generic":
        checksum = {"checksum": f"sha256:{package.sha256}"}
        return PackageURL(distribution, None, package.name, package.version, checksum)
    if distribution != "debian":
        return PackageURL(distribution, None, package.name, package.version)
    qualifiers = {"distro": f"debian-{release}"} if release else {}
    if package.source not in ("", package.name):
        qualifiers["upstream"] = package.source
    return PackageURL("deb", "debian", package.name, package.version, qualifiers)
