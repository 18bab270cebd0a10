# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/schemas/*.json, and the tables between markers in docs/formats.md, from the types in the room model.

What a field means is the comment above it, so that there is one place for it. ``make schemas`` runs this; a unit test
fails where it was forgotten.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import typing as t
from pathlib import Path
from types import NoneType

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / ".cache/collections"))

from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import AddressBook  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import Owner  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.describe.seats import Seats  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.describe.state import Mark  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.images.inspect import Inspected  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model import codec, shape  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.document import NodeDocument  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.event import Event  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.experiment import (  # noqa: E402
    Experiment,
    ExperimentMark,
    Measured,
    Trial,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.findings import Audited, Drifted, Findings  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.free import Json  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import OutOfService  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.journal import Journal  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.lock import Lock  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Release  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.report import ReportDocument  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.model.step import (  # noqa: E402
    Built,
    Checked,
    Evaluated,
    Exported,
    Fared,
    Locked,
    Paged,
    Planned,
    Reproduced,
    Settled,
    StepFailure,
    StepResult,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.task import TaskResult  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.oar.results import Listed, Reserved  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.claims import Claimed  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.lender import Lent  # noqa: E402
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.kvm import Tried  # noqa: E402

#: Module → what it returns of one deployment.
RESULTS: dict[str, type[StepResult]] = {
    "audit_info": Audited,
    "composition_evaluate": Evaluated,
    "composition_info": Evaluated,
    "composition_lock": Locked,
    "config_push": Fared,
    "deployment_destroy": Fared,
    "deployment_page": Paged,
    "deployment_plan": Planned,
    "deployment_settle": Settled,
    "deployment_switch": Fared,
    "deployment_verify": Checked,
    "drift_info": Drifted,
    "image_build": Built,
    "image_reproduce": Reproduced,
    "image_stage": StepResult,
    "keys_rotate": Fared,
    "nxc_export": Exported,
}
#: Module without deployments → what it returns.
TOLD: dict[str, t.Any] = {"image_info": Inspected, "oar_job": Reserved, "oar_job_info": Listed}
#: Whatever lies on a disk or is handed to another process, by the name of its schema.
DOCUMENTS: dict[str, t.Any] = {
    **{
        shape.name_of(type_): type_
        for type_ in (
            *(Composition, Lock, Deployment, Image, NodeDocument, Boot, Release, Owner, Mark, AddressBook),
            *(Run, Journal, OutOfService, ReportDocument, Findings, Tried, Lent, Claimed, Seats),
            *(ExperimentMark, Trial),
        )
    },
    # What modules return of one deployment, by their names; what any of them does that fails; and what a task returns.
    **RESULTS,
    # What modules return that know no deployment.
    **TOLD,
    "event": Event,
    "failure": StepFailure,
    # What users write, and what one run of `ansible-playbook` leaves for another.
    "experiment_file": Experiment,
    "measured": Measured,
    "task": TaskResult,
}
MARKED = re.compile(r"(<!-- fields of (?P<type>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
#: Types that have a section of their own.
SECTIONS = {
    "Composition": "compositionjson",
    "Image": "imagejson",
    "NixosCompose": "images-of-nixos-compose",
    "NodeDocument": "node-document",
    "NodeResult": "node-result",
    "Release": "release",
    "Volume": "data-volumes",
}
WORDS = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Json: "anything",
}


def parts(type_: t.Any) -> dict[str, t.Any]:
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


def types() -> dict[str, t.Any]:
    """All types of documents, by name."""
    return {name: part for type_ in DOCUMENTS.values() for name, part in parts(type_).items()}


def meanings(type_: t.Any) -> dict[str, str]:
    """Field → the comment above it, as Markdown."""
    found = {}
    for base in type_.__bases__:
        if shape.is_object(base):
            found.update(meanings(base))
    source = inspect.getsource(type_)
    lines = source.splitlines()
    for statement in t.cast(ast.ClassDef, ast.parse(source).body[0]).body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            number, words = statement.lineno - 1, []
            while lines[number - 1].strip().startswith("#:"):
                number -= 1
                words.insert(0, lines[number].strip()[2:].strip())
            found[statement.target.id] = markdown(" ".join(words))
    return found


def markdown(text: str) -> str:
    return text.replace("``", "`").removesuffix(".")


def in_words(hint: t.Any) -> str:
    """A type for people; of an object or a list, what is in it."""
    if shape.is_union(hint):
        *first, last = sorted(map(in_words, t.get_args(hint)), key="null".__eq__)
        return f"{', '.join(first)} or {last}"
    if shape.is_literal(hint):
        return ", ".join(f"`{each}`" for each in t.get_args(hint))
    if shape.is_object(hint):
        return link(hint)
    if shape.is_list(hint) or shape.is_mapping(hint):
        kind = "list" if shape.is_list(hint) else "object"
        (inner,) = set(shape.inner_types(hint))
        return kind if inner == Json else f"{kind} of {plural(inner)}"
    return WORDS[hint]


def plural(hint: t.Any) -> str:
    if shape.is_object(hint):
        return link(hint, "s")
    if shape.is_union(hint):
        *first, last = sorted(map(plural, t.get_args(hint)), key="null".__eq__)
        return f"{', '.join(first)} or {last}"
    kind, of, inner = in_words(hint).partition(" of ")
    return f"{kind}s{of}{inner}" if hint is not NoneType else kind


def link(type_: t.Any, ending: str = "") -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type_.__name__).lower() + ending
    section = SECTIONS.get(type_.__name__)
    return f"[{words}](#{section})" if section else f"*{words}*"


def default(field: dataclasses.Field[t.Any]) -> str:
    """The default, where it says more than that the field may be left out."""
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is dataclasses.MISSING else ", default empty"
    if field.default is None:
        return ", default null"
    if field.default in ("", ()):
        return ", default empty"
    shown = field.default if isinstance(field.default, str) else json.dumps(field.default)
    return f", default `{shown}`" if isinstance(field.default, str) else f", default {shown}"


def table(type_: t.Any) -> str:
    """The fields of a type."""
    told = meanings(type_)
    rows = ["| name | type | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(type_):
        if field.name == "schema":
            rows.insert(2, f"| `schema` | string | `{field.default}` |")
        else:
            kind = in_words(shape.fields(type_)[field.name].hint) + default(field)
            rows.append(f"| `{field.name}` | {kind} | {told[field.name]} |")
    return "\n".join(rows) + "\n"


def json_schema(type_: t.Any) -> dict[str, t.Any]:
    """The JSON Schema (draft 2020-12) of a document: it accepts what the codec accepts."""
    (top,), definitions = codec.library().json.schema_components([type_])
    for name, part in parts(type_).items():
        definition = definitions[name]
        definition["description"] = markdown(inspect.cleandoc(definition["description"]))
        definition["additionalProperties"] = shape.ignores_unknown(part)
        if shape.schema_of(part):
            definition["required"] = [*definition.get("required", []), "schema"]
        for key, meaning in meanings(part).items():
            if meaning and key in definition["properties"]:
                definition["properties"][key]["description"] = meaning
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}
    return t.cast("dict[str, t.Any]", _without_empty_defaults(whole))


def _without_empty_defaults(schema: t.Any, *, names: bool = False) -> t.Any:
    """Some versions of msgspec say of fields that they are empty by default, others do not.

    :param names: the keys are names of fields or types, not words of JSON Schema.
    """
    if isinstance(schema, list):
        return [_without_empty_defaults(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_empty_defaults(value, names=not names and key in ("properties", "$defs"))
        for key, value in schema.items()
        if names or key != "default" or value not in ({}, [])
    }


#: ``releases/current`` is nothing but a number.
CURRENT: dict[str, t.Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "description": "Number of the current release",
    "type": "integer",
    "minimum": 1,
}


def generated() -> dict[Path, str]:
    """Path → content."""
    schemas = {**{name: json_schema(type_) for name, type_ in DOCUMENTS.items()}, "current": CURRENT}
    files = {
        ROOT / f"docs/schemas/{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }
    formats = ROOT / "docs/formats.md"
    known = types()
    files[formats] = MARKED.sub(
        lambda match: match[1] + "\n" + table(known[match["type"]]) + "\n" + match[3],
        formats.read_text(encoding="utf-8"),
    )
    return files


def main() -> None:
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
