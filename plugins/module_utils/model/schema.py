# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of this collection, and the JSON Schema of each. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from . import codec, shape
from .boot import Boot
from .composition import Composition
from .deployment import Deployment
from .document import NodeDocument
from .image import Image
from .release import Release

#: Whatever lies on a disk or is handed to another process, by the name of its schema.
DOCUMENTS: t.Mapping[str, t.Any] = {
    shape.name_of(type_): type_ for type_ in (Composition, Deployment, Image, NodeDocument, Boot, Release)
}


def json_schema(type_: t.Any) -> dict[str, t.Any]:
    """The JSON Schema (draft 2020-12) of a document: it accepts what :func:`~.codec.decode` accepts."""
    parts = _parts(type_)
    (schema,), definitions = codec.library().json.schema_components([type_])
    for name, definition in definitions.items():
        part = parts[name]
        definition["additionalProperties"] = shape.ignores_unknown(part)
        if shape.schema_of(part):
            definition["required"] = [*definition.get("required", []), "schema"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}


def _parts(type_: t.Any) -> dict[str, t.Any]:
    """A type and all that are in it, by name."""
    found: dict[str, t.Any] = {}

    def look(hint: t.Any) -> None:
        if not shape.is_object(hint):
            for each in shape.inner_types(hint):
                look(each)
        elif hint.__name__ not in found:
            found[hint.__name__] = hint
            for field in shape.fields(hint).values():
                look(field.hint)

    look(type_)
    return found
