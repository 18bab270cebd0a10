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
import shutil
import tarfile
import tempfile
import typing as t
from contextlib import suppress

from ...errors import ComposeError
from ...model.boot import Target
from ...model.codec import encode
from ...model.image import Image

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

    :param directory: of all deployments; this one's is below it.
    :param url: how Kadeploy finds it.
    :param owner: what no other deployment has, for the name of its directory.
    :param secret: known to this deployment only, for names that nobody guesses.
    """

    def __init__(self, directory: str, url: str | None, owner: str, secret: t.Callable[[], str]) -> None:
        self._directory = os.path.join(directory, owner)
        self._above = directory
        self._url = f"{(url or f'server://{directory}').rstrip('/')}/{owner}"
        self._secret = secret

    def require(self) -> None:
        """:raises ComposeError: nothing can be put there."""
        if not os.path.isdir(self._above) or not os.access(self._above, os.W_OK | os.X_OK):
            raise ComposeError(f"directory {self._above} does not exist, or cannot be written to")

    # -- images ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _name(image: Image) -> str:
        return f"{image.identity}.{image.formats['installed'].sha256[:16]}.tar"

    def image_url(self, image: Image) -> str:
        """How Kadeploy finds an image."""
        return f"{self._url}/{self._name(image)}"

    def put_image(self, image: Image) -> bool:
        """Copy an image there; whether it was not there yet."""
        path, source = os.path.join(self._directory, self._name(image)), image.path("installed")
        if os.path.exists(path):  # only whole ones have that name
            return False
        self._make()
        self._drop_partial(self._name(image))
        handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=f".{self._name(image)}.")
        with open(handle, "wb") as copy, open(source, "rb") as stream:
            shutil.copyfileobj(stream, copy, 1 << 20)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        return True

    def _drop_partial(self, name: str) -> None:
        """What a run has left that was killed while it copied."""
        for entry in os.listdir(self._directory):
            if entry.startswith(f".{name}."):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._directory, entry))

    def drop_images(self, keep: t.Collection[str]) -> None:
        """Forget images whose identity is not in ``keep``."""
        with suppress(FileNotFoundError):
            for entry in os.listdir(self._directory):
                identity = entry.lstrip(".").split(".tar")[0].rpartition(".")[0]
                if ".tar" in entry and not entry.endswith(".documents.tgz") and identity not in keep:
                    os.unlink(os.path.join(self._directory, entry))

    def remove(self) -> None:
        """Forget all."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory)

    # -- documents -------------------------------------------------------------------------------------------------

    def _archive(self, name: str) -> str:
        key = hmac.new(self._secret().encode(), name.encode(), hashlib.sha256).hexdigest()[:32]
        return f"{key}.documents.tgz"

    def documents_url(self, name: str) -> str:
        """How Kadeploy finds the archive of a deployment of that name."""
        return f"{self._url}/{self._archive(name)}"

    def put_documents(self, name: str, targets: t.Mapping[str, Target]) -> None:
        """Write the archive with the documents of these machines' nodes."""
        self._make()
        path = os.path.join(self._directory, self._archive(name))
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
        temporary = f"{path}.new"
        with open(temporary, "wb") as out:
            out.write(packed.getvalue())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)

    def drop_documents(self, name: str) -> None:
        """Nobody needs the archive any more."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, self._archive(name)))

    def _make(self) -> None:
        """The directory, which others may walk through and not list."""
        self.require()
        os.makedirs(self._directory, exist_ok=True)
        os.chmod(self._directory, 0o711)
