# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small disk on which a node finds its node document. PRIVATE to the collection."""

from __future__ import annotations

import io
import json

from ...libraries import missing_library
from ...model.codec import encode
from ...model.document import NodeDocument

#: By which nodes know the disk.
LABEL = "COMPOSE-NODE"

#: Sizes of disks are whole MiB: all storages can make them.
_MIB = 1 << 20

#: ISO 9660 (ECMA-119): size of a sector, where the volume descriptor is, and in it the dates and the root directory.
_SECTOR = 2048
_DESCRIPTOR = 16 * _SECTOR
_VOLUME_DATES = slice(_DESCRIPTOR + 813, _DESCRIPTOR + 881)
_ROOT = _DESCRIPTOR + 156

#: Dates of the volume that nobody specified, and the date of every file: 1 January 1970.
_NO_DATES = (b"0" * 16 + b"\0") * 4
_DATE = bytes((70, 1, 1, 0, 0, 0, 0))


def config_drive(document: NodeDocument) -> bytes:
    """A disk with a read-only file system (ISO 9660) labelled ``COMPOSE-NODE``, which has the file ``node.json``.

    The same document is the same bytes, a whole number of MiB.

    :raises ComposeError: a library is missing.
    """
    try:
        from pycdlib import PyCdlib
    except ImportError:
        raise missing_library("pycdlib", what="the disk with the node document (platform 'proxmox')") from None
    text = (json.dumps(encode(document), indent=1, sort_keys=True) + "\n").encode()
    drive, output = PyCdlib(), io.BytesIO()
    drive.new(interchange_level=3, vol_ident=LABEL)
    drive.add_fp(io.BytesIO(text), len(text), "/NODE.JSON;1")  # Linux shows names of this kind in lower case
    drive.write_fp(output)
    drive.close()
    image = bytearray(output.getvalue())
    _forget_dates(image)
    return bytes(image.ljust(-(-len(image) // _MIB) * _MIB, b"\0"))


def _forget_dates(image: bytearray) -> None:
    """The library writes the present everywhere."""
    image[_VOLUME_DATES] = _NO_DATES
    image[_ROOT + 18 : _ROOT + 25] = _DATE
    entry = int.from_bytes(image[_ROOT + 2 : _ROOT + 6], "little") * _SECTOR
    while image[entry]:  # its length
        image[entry + 18 : entry + 25] = _DATE
        entry += image[entry]
