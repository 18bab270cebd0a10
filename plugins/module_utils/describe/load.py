# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions, evaluated here or on another host before. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os
import typing as t
from dataclasses import replace

from ..errors import InputError, MissingProgramError
from ..model import codec
from ..model.composition import Composition
from ..model.free import Parameters
from .manifest_check import manifest_errors

#: Result of an evaluation, kept next to the composition for hosts that cannot evaluate.
MANIFEST = "composition.json"


class Evaluates(t.Protocol):
    """A builder, as far as a composition is to be known."""

    name: t.ClassVar[str]

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        """The composition in a directory. :raises ComposeError: it cannot be evaluated here, or does not evaluate."""


def load(path: str, parameters: Parameters, builder: Evaluates) -> Composition:
    """The composition in a directory: evaluated if this host has what that needs, else from its ``composition.json``.

    :param path: directory, or a manifest to be read without trying to evaluate.
    :raises InputError: there is neither; the composition does not evaluate; the manifest is of another builder.
    """
    if os.path.isfile(path):
        if not path.endswith(".json"):
            raise InputError(f"{path} is a file, expected the composition's directory, or its {MANIFEST}")
        return read_manifest(path, builder.name)
    _require_directory(path)
    try:
        return builder.evaluate(path, parameters)
    except MissingProgramError as missing:
        manifest = os.path.join(path, MANIFEST)
        if not os.path.isfile(manifest):
            raise InputError(
                f"{path}: has no {MANIFEST}, and cannot be evaluated here: {missing}; where it can be, "
                "'ansible-playbook -i INVENTORY immutable.compose.evaluate' writes the file"
            ) from missing
        return read_manifest(manifest, builder.name)


def _require_directory(path: str) -> None:
    try:
        os.listdir(path)
    except FileNotFoundError:
        link = f" (it is a link to {os.readlink(path)!r}, which leads nowhere)" if os.path.islink(path) else ""
        raise InputError(f"{path}: no such directory, expected a composition{link}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, expected the directory of a composition") from None


def manifest(composition: Composition) -> Composition:
    """Content of ``composition.json`` for a composition that was evaluated on this host."""
    return replace(composition, source=source_digest(composition.path))


def is_stale(composition: Composition) -> bool:
    """Whether a composition was read from a ``composition.json`` that is older than the files beside it."""
    return composition.source is not None and composition.source != source_digest(composition.path)


def source_digest(directory: str) -> str:
    """Digest of the names and contents of the files below a directory; hidden ones and the manifest do not count."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(folder, name)
            if name.startswith(".") or path == os.path.join(directory, MANIFEST) or not os.path.isfile(path):
                continue
            with open(path, "rb") as stream:
                content = hashlib.sha256(stream.read()).hexdigest()
            digest.update(f"{os.path.relpath(path, directory)}\0{content}\n".encode())
    return digest.hexdigest()


def read_manifest(path: str, builder: str) -> Composition:
    """A ``composition.json``; the composition's directory is where the file lies, wherever it was evaluated."""
    try:
        composition = codec.read(Composition, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except codec.DamagedError as error:
        raise codec.DamagedError(
            f"{error.message}; the module immutable.compose.composition_evaluate writes it again"
        ) from None
    if composition.builder != builder:
        raise InputError(f"{path}: evaluated by builder {composition.builder!r}, expected {builder!r}")
    errors = manifest_errors(composition)
    if errors:
        raise InputError(f"{path}: {'; '.join(sorted(errors)[:5])}")
    return replace(composition, path=os.path.dirname(os.path.abspath(path)))
