# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kadeploy fetches: images, and archives with the documents of nodes, in a directory that it sees.

Nobody can list that directory, so that an archive is found by those only who are told its name: Kadeploy, and whoever
administers it. It is there while its deployment goes on, and no longer. PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import tarfile
import typing as t
from urllib.parse import quote, unquote

from ...model.boot import Target
from ...model.codec import encode
from ...model.image import Image
from ...temporary import TemporaryDirectory
from ..shelf import Shelf
from .outcome import Description

#: Puts a node's document to where its system looks for it before services start; Kadeploy's own system runs it on every
#: machine, with the partition at /mnt/dest.
_SCRIPT = """\
#!/bin/sh
set -eu
here=$(dirname "$0")
for name in "${KADEPLOY_NODE:-}" "$(hostname -f 2>/dev/null || true)" "$(hostname)"; do
    document=$here/compose-nodes/${name%%.*}.json
    if [ -n "$name" ] && [ -e "$document" ]; then
        umask 077
        mkdir -p /mnt/dest/etc/compose
        cp "$document" /mnt/dest/etc/compose/node.json
        exit 0
    fi
done
echo "immutable.compose: there is no node document for the machine $(hostname)" >&2
exit 1
"""
#: Its name in the archive.
SCRIPT = "compose-place"


class Store:
    """Of one deployment.

    :param url: how Kadeploy finds the shelf.
    :param secret: known to this deployment only, for names that nobody guesses.
    """

    def __init__(self, shelf: Shelf, url: str, secret: t.Callable[[], str]) -> None:
        self._shelf = shelf
        self._url = url
        self._secret = secret

    def require(self) -> None:
        """:raises ComposeError: nothing can be put there."""
        self._shelf.require()

    # -- images ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _name(image: Image) -> str:
        return f"{image.identity}.{image.formats['installed'].sha256[:16]}.tar"

    def image_url(self, image: Image) -> str:
        """How Kadeploy finds an image."""
        return f"{self._url}/{self._name(image)}"

    def put_image(self, image: Image) -> bool:
        """Copy an image there; whether it was not there yet."""
        name, there = self._name(image), self._shelf.names()
        if name in there:  # only whole ones have that name
            return False
        whole = [entry for entry in there if entry.endswith(".tar") and not entry.startswith(".")]
        # The newest of the same role, or else of any: many packages are the same.
        whole.sort(key=lambda entry: _without_hash(_identity(entry)) != _without_hash(image.identity))
        self._shelf.put(name, image.path("installed"), *whole[:1])
        return True

    def drop_images(self, keep: t.Collection[str]) -> None:
        """Forget images whose identity is not in ``keep``."""
        images = [entry for entry in self._shelf.names() if ".tar" in entry]
        self._shelf.drop([entry for entry in images if _identity(entry) not in keep])

    def names(self) -> list[str]:
        """All files that are there."""
        return self._shelf.names()

    def remove(self) -> None:
        """Forget all."""
        self._shelf.remove()

    # -- documents -------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return hmac.new(self._secret().encode(), name.encode(), hashlib.sha256).hexdigest()[:32]

    def _archive(self, name: str) -> str:
        return f"{self._key(name)}.documents.tgz"

    def documents_url(self, name: str) -> str:
        """How Kadeploy finds the archive of a deployment of that name."""
        return f"{self._url}/{self._archive(name)}"

    def put_documents(self, name: str, targets: t.Mapping[str, Target]) -> None:
        """Write the archive with the documents of these machines' nodes."""
        files = {SCRIPT: (_SCRIPT.encode(), 0o755)}
        for machine, target in targets.items():
            text = json.dumps(encode(target.document)).encode()
            files[f"compose-nodes/{machine.split('.')[0]}.json"] = (text, 0o600)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for file, (content, mode) in files.items():
                entry = tarfile.TarInfo(file)
                entry.size, entry.mode = len(content), mode
                archive.addfile(entry, io.BytesIO(content))
        self._put(self._archive(name), packed.getvalue())

    def publish(self, name: str, description: Description) -> str:
        """Have a description at an address, which says that name: the address."""
        file = self._description(name)
        self._put(file, json.dumps(dict(description)).encode())
        return f"{self._url}/{quote(file)}"

    def name_at(self, address: str) -> str:
        """The name that an address says; empty if it is another's."""
        place, _slash, file = address.rpartition("/")
        name = unquote(file).rpartition(".json")[0].rpartition(".")[0]
        return name if place == self._url and unquote(file) == self._description(name) else ""

    def _description(self, name: str) -> str:
        return f"{name}.{self._key(name)}.json"

    def _put(self, name: str, content: bytes) -> None:
        with TemporaryDirectory("document") as directory:
            file = os.path.join(directory, "document")
            with open(file, "wb") as stream:
                stream.write(content)
            self._shelf.put(name, file)

    def drop_documents(self, name: str) -> None:
        """Nobody needs the archive any more, nor the description."""
        self._shelf.drop([self._archive(name), self._description(name)])

    def keep_documents(self, names: t.Collection[str]) -> None:
        """Remove the archives and descriptions of all deployments that have not one of these names."""
        keep = {file for name in names for file in (self._archive(name), self._description(name))}
        files = [file for file in self._shelf.names() if ".tar" not in file]
        self._shelf.drop([file for file in files if file not in keep])


def _identity(entry: str) -> str:
    """Of the image that a file is, or was to become."""
    return entry.lstrip(".").split(".tar")[0].rpartition(".")[0]


def _without_hash(identity: str) -> str:
    """What the store calls the images of a role."""
    return identity.partition("-")[2]
