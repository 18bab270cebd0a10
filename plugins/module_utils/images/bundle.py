# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles that are made by this collection and not by a build: a directory of links into a store. PRIVATE."""

from __future__ import annotations

import hashlib
import os
import shutil
import typing as t
from dataclasses import replace

from ..model import codec
from ..model.image import Image, ImageFile
from .image import read_image


def write_bundle(directory: str, image: Image, files: t.Mapping[str, str]) -> Image:
    """Make the bundle of an image; one that is there already stays if it has these formats.

    :param directory: of the bundle, usually ``<roots>/<identity>``; a complete one or none at all is left behind.
    :param image: all that is known of it but its formats.
    :param files: format → file or directory in the store.
    """
    if os.path.exists(os.path.join(directory, "image.json")):
        there = read_image(directory)
        if all(format_ in there.formats for format_ in files):
            return there
    temporary = f"{directory}.new"
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    formats = {}
    for format_, path in files.items():
        name = f"{format_}-{os.path.basename(path)}"
        os.symlink(path, os.path.join(temporary, name))
        formats[format_] = ImageFile(name, os.path.getsize(path), _sha256(path) if os.path.isfile(path) else "")
    complete = replace(image, formats=formats, bundle="")
    codec.write(os.path.join(temporary, "image.json"), complete)
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(temporary, directory)
    return read_image(directory)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
