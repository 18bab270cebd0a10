# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as they lie on this host: bundles with an ``image.json``. PRIVATE to the collection."""

from __future__ import annotations

import os
from dataclasses import replace

from ..errors import InputError
from ..model import codec
from ..model.image import Image


def read_image(bundle: str) -> Image:
    """The image in a bundle directory.

    :raises FileNotFoundError: there is none.
    :raises InputError: its ``image.json`` is damaged.
    """
    return replace(codec.read(Image, os.path.join(bundle, "image.json")), bundle=bundle)


def find_image(path: str) -> Image:
    """The image that a person names: by its bundle, or by the ``image.json`` in it.

    :raises InputError: there is none.
    """
    bundle = os.path.dirname(path) if os.path.basename(path) == "image.json" else path
    try:
        return read_image(bundle)
    except OSError as error:
        raise InputError(f"{path} is not an image bundle, a directory with image.json: {error.strerror}") from None
