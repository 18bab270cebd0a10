# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What compositions may say, for the builders that read attributes of roles, as JSON Schemas. PRIVATE."""

from __future__ import annotations

import re
import typing as t

from ..errors import InputError, nearest, shown
from ..libraries import missing_library
from . import values
from .attributes import Attributes
from .follow import follow_errors
from .names import is_host_name, is_role_name, label_of
from .reserved import not_a_file, not_a_mount
from .units import PATTERN

Schema = t.Mapping[str, t.Any]


def _object(properties: Schema, required: t.Sequence[str] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _matching(pattern: str) -> Schema:
    """A string that matches as a whole: to Python, ``$`` would be before a last line end, too."""
    return {"type": "string", "pattern": rf"^(?:{pattern})\Z"}


def _named(keys: str, values: Schema) -> Schema:
    """Values by name, where names are to match a pattern."""
    return {"type": "object", "propertyNames": _matching(keys), "additionalProperties": values}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Schema = {"type": "string"}
WORD_WITHOUT_SPACES, MODE_WORD, A_VOLUME_NAME = r"\S+", r"[0-7]{3,4}", r"[a-z0-9][a-z0-9-]{0,19}"
WORD = _matching(WORD_WITHOUT_SPACES)
FLAG: Schema = {"type": "boolean"}
MODE = _matching(MODE_WORD)
A_PACKAGE = r"[a-z0-9][a-z0-9+.-]+"
PACKAGE = _matching(A_PACKAGE)
#: Files that are packages, and those that are unpacked.
A_DEB, A_TARBALL = r"[^\r\n]*/[^\r\n]*\.deb", r"[^\r\n]*\.(?:tar|tar\.gz|tgz|tar\.xz|txz|tar\.bz2|tbz2)"
PATH = r"/(?!.*//)(?!(?:.*/)?\.\.(?:/|$))[^\t\r\n]*[^/\t\r\n]"
USER = r"[a-z_][a-z0-9_-]{0,31}"

FILE = _object({"text": TEXT, "source": TEXT, "mode": MODE, "user": WORD, "group": WORD})
UNIT = _object({"text": TEXT, "enable": FLAG, "mask": FLAG})
LOGIN = _object(
    {
        "uid": {"type": "integer", "minimum": 0, "maximum": 65533},
        "group": _matching(USER),
        "groups": _list(_matching(USER)),
        "home": _matching(PATH),
        "shell": _matching(PATH),
        "authorizedKeys": _list(TEXT),
    }
)
ARCHIVE = _object(
    {"version": _matching(r"\S+"), "source": _matching(A_TARBALL), "dest": _matching(PATH)},
    required=["version", "source", "dest"],
)
VOLUME = _object(
    {
        "mount": _matching(PATH),
        "size": {"type": "integer", "minimum": 1},
        "user": WORD,
        "group": WORD,
        "mode": MODE,
        "keep": {"type": "boolean"},
    },
    required=["mount"],
)
FOLLOW = _object(
    {
        "repository": TEXT,
        "revision": TEXT,
        "check": TEXT,
        "reload": TEXT,
        "every": _matching(r"[1-9][0-9]{0,4}(?:s|min|h|d)"),
        "secret": _matching(r"\S.*"),
    },
    required=["repository", "revision"],
)
#: Of questions, see debconf-devel(7).
DEBCONF_TYPES = ("boolean", "error", "multiselect", "note", "password", "select", "string", "text", "title")
#: What becomes of a file that a package generates: one of these.
GENERATED: Schema = {
    **_object({"keep": {"const": True}, "command": _matching(r"[^\r\n]+"), "secret": _matching(r"\S.*")}),
    "minProperties": 1,
    "maxProperties": 1,
}
# The name becomes the serial number of a virtio disk: 20 characters.
VOLUMES = _named(A_VOLUME_NAME, VOLUME)
PORTS = _list({"type": "integer", "minimum": 1, "maximum": 65535})
# Units of systemd, services of the Shepherd.
MAY_FAIL = _list(_matching(PATTERN))

# What an inventory has use for, of projects of other tools.
TAGS = _list(WORD)
MACHINE = _object(
    {
        "host": {**WORD, "type": ["string", "null"]},
        "user": {**WORD, "type": ["string", "null"]},
        "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
        "key": {"type": ["string", "null"]},
    }
)

A_ROLE_NAME = "not the name of a role, expected letters, digits, dots, dashes and underscores, at most 63"

#: A file that Nix copied to its store: what a path in Nix becomes.
_IN_STORE = re.compile(r"/(.*/)?[0-9a-z]{32}")

ROLE = _object(
    {
        "description": TEXT,
        "packages": _list(_matching(f"{A_PACKAGE}|{A_DEB}")),
        "archives": _named(A_PACKAGE, ARCHIVE),
        "files": _named(PATH, FILE),
        "follow": _named(PATH, FOLLOW),
        "debconf": _list(_matching(rf"{A_PACKAGE} \S+/\S+ (?:{'|'.join(DEBCONF_TYPES)})(?: [^\r\n]*)?")),
        "generated": _named(PATH, GENERATED),
        "units": _named(r"[\w@:.\\-]+\.(?:service|socket|timer|path|mount|automount|target|slice|swap)", UNIT),
        "users": _named(USER, LOGIN),
        "kernel": {**PACKAGE, "type": ["string", "null"]},
        "kernelParams": _list(TEXT),
        "kernelModules": _list(WORD),
        "volumes": VOLUMES,
        "ports": PORTS,
        "mayFail": MAY_FAIL,
        "postInstall": TEXT,
    }
)
BESIDE: Schema = {"ports": PORTS, "volumes": VOLUMES, "mayFail": MAY_FAIL, "tags": TAGS, "machine": MACHINE}
GUIX_ROLE = _object(
    {
        "description": TEXT,
        "file": TEXT,
        "module": _matching(r"\([^\s()'\"`,;#]+(?: [^\s()'\"`,;#]+)*\)"),
        "variable": _matching(r"[^\s()'\"`,;#]+"),
        **BESIDE,
    }
)

DISTRIBUTION: Schema = {
    "type": "object",
    "additionalProperties": {"type": ["integer", "array"], "minimum": 0, "maximum": values.MOST, "items": TEXT},
}
_DEBIAN = _object(
    {
        "roles": {"type": "object", "additionalProperties": ROLE, "minProperties": 1},
        "testScript": TEXT,
        "rolesDistribution": DISTRIBUTION,
        "debian": _object({"suite": WORD}),
    },
    required=["roles"],
)
_GUIX = _object(
    {
        "roles": {"type": "object", "additionalProperties": GUIX_ROLE, "minProperties": 1},
        "testScript": {"anyOf": [TEXT, _object({"file": TEXT}, required=["file"])]},
        "rolesDistribution": DISTRIBUTION,
    },
    required=["roles"],
)
#: What stands beside NixOS configurations, for the builder ``nixos``.
_NIXOS = _object(
    {
        "roles": {
            "type": "object",
            "additionalProperties": _object(BESIDE),
            "minProperties": 1,
        },
        "testScript": TEXT,
        "rolesDistribution": DISTRIBUTION,
    },
    required=["roles"],
)


#: Errors that are named, and characters of each.
_LISTED, _LONGEST = 10, 320

#: By builder.
_COMPOSITIONS: t.Mapping[str, Schema] = {"debian": _DEBIAN, "guix": _GUIX, "nixos": _NIXOS}


def check_composition(evaluated: object, where: str, builder: str) -> Attributes:
    """The attributes of a composition, none of which is unknown or of the wrong type.

    :param where: file, for the error message.
    :param builder: ``debian``, ``guix`` or ``nixos``.
    :raises InputError: names every other attribute.
    """
    try:
        import jsonschema  # here, because most steps evaluate nothing, and it is slow to import
    except ImportError:
        raise missing_library("jsonschema", what="the check of a composition's attributes") from None
    validator = jsonschema.Draft7Validator(_COMPOSITIONS[builder])
    said = values.parameters(evaluated, f"{where}: composition")  # YAML has keys and values that JSON has not
    errors = [line for error in validator.iter_errors(said) for line in _explain(error)]
    if not errors:
        errors = _check_names(said)
    if errors:
        more = f"; and {len(errors) - _LISTED} more" if len(errors) > _LISTED else ""
        raise InputError(f"{where}: " + "; ".join(map(_short, sorted(errors)[:_LISTED])) + more)
    return t.cast(Attributes, said)  # as the schema says


def _short(line: str) -> str:
    """What is wrong at the beginning, what was expected at the end."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 120]} … {line[-100:]}"


def _explain(error: t.Any) -> t.Iterator[str]:
    path = list(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        for key in sorted(set(error.instance) - set(known)):
            yield f"{_attribute([*path, key])}: unknown attribute{nearest(key, known)}"
    elif error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        yield f"{_attribute([*path, error.instance])}: not a valid name here"
    elif error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))
        yield f"{_attribute([*path, missing[0]])}: is missing"
    else:
        yield f"{_attribute(path)}: {error.message}"


def _attribute(path: t.Sequence[t.Any]) -> str:
    """An attribute path as Nix writes it."""
    shown = ""
    for key in path:
        if isinstance(key, int):
            shown += f"[{key}]"
        else:
            shown += "." + (key if re.fullmatch(r"[A-Za-z_][\w'-]*", key) else f'"{key}"')
    return shown[1:]


def _check_names(evaluated: t.Mapping[str, t.Any]) -> list[str]:
    """What a schema cannot say."""
    roles = evaluated["roles"]
    errors = [f"roles.{name}: {A_ROLE_NAME}" for name in roles if not is_role_name(name)]
    for name, names in evaluated.get("rolesDistribution", {}).items():
        if name in roles and isinstance(names, list):  # of others, see deployment.py
            errors += [
                f"rolesDistribution.{name}: {shown(host)} gives no host name"
                for host in names
                if not is_host_name(label_of(host))
            ]
    for name, role in roles.items():
        for path, file in role.get("files", {}).items():
            if ("text" in file) == ("source" in file):
                errors.append(f'roles.{name}.files."{path}": needs either text or source')
            elif not _IN_STORE.match(file.get("source", "/" + 32 * "0")):
                errors.append(
                    f'roles.{name}.files."{path}".source: {file["source"]!r} is a string, not a path: '
                    "write it without quotes"
                )
            refused = not_a_file(path)
            if refused:
                errors.append(f'roles.{name}.files."{path}": {refused}')
        for archive, settings in role.get("archives", {}).items():
            refused = not_a_file(settings["dest"])
            if refused:
                errors.append(f"roles.{name}.archives.{archive}.dest: {settings['dest']} {refused}")
        for volume, settings in role.get("volumes", {}).items():
            refused = not_a_mount(settings["mount"])
            if refused:
                errors.append(f"roles.{name}.volumes.{volume}.mount: {settings['mount']} {refused}")
        for unit, wanted in role.get("units", {}).items():
            if "text" in wanted and wanted.get("mask"):
                errors.append(f"roles.{name}.units.{unit}: a unit with text cannot be masked")
            refused = not_a_file(f"/etc/systemd/system/{unit}")
            if refused:
                errors.append(f"roles.{name}.units.{unit}: {refused}")
        for number, answer in enumerate(role.get("debconf", ())):
            if answer.split(" ")[2] == "password":
                errors.append(
                    f"roles.{name}.debconf[{number}]: a password would be in the image, which everybody may read: "
                    "set it when a node boots, from a secret"
                )
        for path, made in role.get("generated", {}).items():
            refused = not_a_file(path) or (
                "is a pattern, and a secret is one file" if "secret" in made and "*" in path else None
            )
            if refused:
                errors.append(f'roles.{name}.generated."{path}": {refused}')
        errors += follow_errors(name, role)
        if role.get("kernel") is None and role.get("kernelModules"):
            errors.append(f"roles.{name}.kernelModules: needs a kernel")
    return errors
