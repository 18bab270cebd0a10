# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM of Proxmox VE says of itself: a record in its description, and tags. PRIVATE to the collection.

Both can be read without the guest, and travel with the VM. The record is one JSON object in a comment (so that the web
interface does not show it); what people write around it stays. Format: docs/formats.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from dataclasses import asdict, dataclass, field

from ...describe.ownership import Owner
from ...errors import InputError
from ...model import codec

#: The drive that holds the node document, as the guest sees it.
DOCUMENT_SERIAL = "compose-node"
#: Begin of the serial number of a drive that is only there until its volume has been filled.
STAGED_SERIAL = "compose-new-"
#: Characters of the serial number of a disk (20 are possible).
_SHORT = 16
_BLOCK = re.compile(r"\n*<!-- immutable\.compose (.*?) -->\n*", re.DOTALL)
_TAG = "compose."


def short(identity: str) -> str:
    """A name for an image where there is little room."""
    return hashlib.sha256(identity.encode()).hexdigest()[:_SHORT]


def deployment_tag(deployment: str) -> str:
    """Tag of all VMs of a deployment."""
    return f"{_TAG}{deployment}"


def node_tag(deployment: str, node: str) -> str:
    """Tag of the VM that is a node; unlike the name, Proxmox tells it in lists at once."""
    return f"{_TAG}{deployment}.{node}"


def image_tag(identity: str) -> str:
    """Tag of what has an image."""
    return f"image-{short(identity)}"


def tags_of(text: t.Any) -> set[str]:
    """Tags as Proxmox lists them."""
    return set(re.findall(r"[^;, ]+", str(text or "")))


@dataclass(frozen=True)
class Boot:
    """What a VM boots: volumes, and what is in them."""

    image: str
    #: Volume with the image.
    system: str
    #: Digest of the node document.
    document: str
    #: Volume with the node document.
    drive: str


@dataclass(frozen=True)
class Content:
    """What is in a volume that was staged."""

    image: str | None = None
    document: str | None = None
    #: Name of the data volume that it is to become, and is no more part of this record then.
    data: str | None = None
    #: Bytes.
    size: int = 0


@dataclass(frozen=True)
class Record:
    """What this collection knows of a VM."""

    deployment: str
    node: str
    #: The VM was made for the node: it may be destroyed with it.
    created: bool
    #: Whose its data are, besides: name of the composition, and role. Empty: of the node, whatever that is.
    composition: str = ""
    role: str = ""
    #: What it was last told to boot; written in the same change as the drives.
    current: Boot | None = None
    #: What was last verified.
    verified: Boot | None = None
    #: Number of the release in which it was verified.
    release: int | None = None
    #: The boot drive as it was before the first switch, of a VM that is older than its node: key and value.
    original: tuple[str, str] | None = None
    #: It was off when it was adopted.
    was_off: bool = False
    #: Volumes that were made for the node → what is in them. Nothing else is ever removed.
    volumes: t.Mapping[str, Content] = field(default_factory=dict)
    #: Values of the configuration (``None``: none) as they were when the last verified image ran: a revert brings them
    #: back.
    before: t.Mapping[str, str | None] = field(default_factory=dict)
    #: State that high availability is to have again, while it is told to keep off.
    ha: str | None = None
    #: A snapshot that was made before the switch.
    snapshot: str | None = None
    #: The VM is to be protected again, once a drive has been taken out of it.
    protected: bool = False
    #: Nothing is left to be cleaned up.
    tidy: bool = False
    schema: t.Literal["immutable.compose/vm/1"] = "immutable.compose/vm/1"

    @classmethod
    def read(cls, description: str, where: str) -> Record | None:
        """The record in a description, if there is one.

        :param where: for messages.
        :raises InputError: it was changed by hand, or by a later version.
        """
        match = _BLOCK.search(description)
        if match is None:
            return None
        try:
            return codec.decode(cls, json.loads(match[1]), "vm")
        except ValueError as error:
            raise InputError(f"{where}: expected a JSON object in the comment, found no JSON ({error})") from None
        except InputError as error:
            raise InputError(f"{where}: {error.message}") from None

    @property
    def owner(self) -> Owner | None:
        """For whom the data were made; nobody, if that was not recorded."""
        return Owner(self.deployment, self.composition, self.role, self.node) if self.role else None

    def into(self, description: str) -> str:
        """The description with this record in place of the one it had."""
        data = {key: value for key, value in asdict(self).items() if value not in (None, {}, False, "")}
        data["volumes"] = {
            volume: {key: value for key, value in asdict(entry).items() if value}
            for volume, entry in self.volumes.items()
        }
        data["created"] = self.created
        # JSON may write any character in another way, and a comment must not hold its own end.
        text = json.dumps(data, sort_keys=True).replace(">", "\\u003e")
        words = _BLOCK.sub("\n\n", description).strip()
        return f"{words}\n\n<!-- immutable.compose {text} -->".lstrip()

    def tags(self, others: t.Collection[str], more: t.Collection[str] = ()) -> str:
        """All tags of the VM: those of other people, and this record's.

        :param others: the tags it has.
        :param more: further ones that it must have.
        """
        own = {tag for tag in others if tag.startswith((_TAG, "image-"))}
        new = {deployment_tag(self.deployment), node_tag(self.deployment, self.node), *more}
        if self.current:
            new.add(image_tag(self.current.image))
        return ";".join(sorted((set(others) - own) | new))


def without_record(description: str) -> str:
    """The description of a VM that is no node any more."""
    return _BLOCK.sub("\n\n", description).strip()


def foreign_tags(tags: t.Collection[str]) -> str:
    """The tags of a VM that is no node any more."""
    return ";".join(sorted(tag for tag in tags if not tag.startswith((_TAG, "image-"))))
