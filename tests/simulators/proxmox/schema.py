"""The official API schema: which method a path is, and whether parameters fit it (the rules of PVE::JSONSchema)."""

from __future__ import annotations

import functools
import json
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import FormatError, parameter_error
from .formats import CHECKS, PROPERTIES, Properties, format_size, split_list

#: apidoc of Proxmox VE 9.2, as the project publishes it (tree of paths with parameters and permissions).
FILE = Path(__file__).with_name("api-9.2.json")

#: Highest index of ``name[n]`` where the description does not tell it.
HIGHEST = {"net": 31, "unused": 255, "hostpci": 15, "usb": 13, "numa": 7, "ipconfig": 31, "virtiofs": 9, "link": 7}

#: The index of everything, which the published schema leaves out.
INDEX: dict[str, t.Any] = {
    "allowtoken": 1,
    "permissions": {"user": "all"},
    "returns": {"links": [{"href": "{subdir}"}]},
}
#: Name of a format → what its keys have to be, too.
VALIDATORS: dict[str, t.Callable[[dict[str, str]], None]] = {}

UNDEFINED = "property is not defined in schema and the schema does not allow additional properties"


@dataclass
class Method:
    """A path of the API with one HTTP method."""

    verb: str
    path: str
    info: dict[str, t.Any]

    @property
    def key(self) -> str:
        """``GET /nodes/{node}/qemu``."""
        return f"{self.verb} {self.path}"

    @functools.cached_property
    def properties(self) -> Properties:
        """Parameters, with ``scsi[n]`` written out; those of all variants."""
        return expand(_all_properties(self.info.get("parameters", {})))

    def validate(self, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        """The parameters, with old ways to pass lists put right; 400 where they do not fit."""
        for key, value in parameters.items():
            wanted = self.properties.get(key, {})
            if isinstance(value, list) and wanted.get("type") == "string" and _is_list(wanted):
                parameters[key] = ",".join(value)
            elif isinstance(value, str) and value not in ("", "0") and wanted.get("type") == "array":
                parameters[key] = [value]
        errors: dict[str, str] = {}
        schema = self.info.get("parameters", {})
        if "allOf" in schema:
            errors.update(dict.fromkeys(check_variants(schema, parameters, "", errors), UNDEFINED))
        else:
            check_object("", self.properties, parameters, bool(schema.get("additionalProperties")), errors)
        if errors:
            raise parameter_error(errors)
        return parameters


@dataclass
class _Node:
    methods: dict[str, Method] = field(default_factory=dict)
    children: dict[str, _Node] = field(default_factory=dict)


@functools.cache
def load() -> Schema:
    """The schema, read once."""
    return Schema()


class Schema:
    """All methods by path."""

    def __init__(self) -> None:
        self._root = _Node()
        for top in json.loads(FILE.read_text()):
            self._add(top)
        self._root.methods["GET"] = Method("GET", "/", INDEX)

    def _add(self, item: dict[str, t.Any]) -> None:
        node = self._root
        for part in item["path"].strip("/").split("/"):
            node = node.children.setdefault(part, _Node())
        node.methods = {verb: Method(verb, item["path"], info) for verb, info in item.get("info", {}).items()}
        for child in item.get("children", []):
            self._add(child)

    def method(self, verb: str, template: str) -> Method:
        """The method of a path as the schema writes it."""
        node = self._root
        for part in template.strip("/").split("/"):
            node = node.children[part]
        return node.methods[verb]

    def find(self, verb: str, path: str) -> tuple[Method | None, dict[str, str]]:
        """The method of a requested path, and the parameters that are part of the path."""
        node, found = self._walk(path)
        return (node.methods.get(verb) if node else None), found

    def children(self, path: str) -> list[str]:
        """Fixed names below a path, which an index lists."""
        node = self._walk(path)[0]
        return sorted(name for name in node.children if not name.startswith("{")) if node else []

    def _walk(self, path: str) -> tuple[_Node | None, dict[str, str]]:
        node, found = self._root, dict[str, str]()
        parts = [part for part in path.split("/") if part]
        while parts:
            part = parts.pop(0)
            child = node.children.get(part)
            if child is None:
                name = next((name for name in node.children if name.startswith("{")), None)
                if name is None:
                    return None, {}
                child = node.children[name]
                if name == "{volume}":  # a volume's name has slashes; it takes the rest
                    part, parts = "/".join([part, *parts]), []
                found[name.strip("{}")] = part
            node = child
        return node, found


def expand(properties: Properties) -> Properties:
    """Properties with ``scsi[n]`` written out as ``scsi0`` … ``scsi30``."""
    result: Properties = {}
    for key, schema in properties.items():
        if not key.endswith("[n]"):
            result[key] = schema
            continue
        name = key[:-3]
        told = re.search(r"\(n is 0 to (\d+)\)", schema.get("description", ""))
        highest = int(told[1]) if told else HIGHEST.get(name, 255)
        result.update({f"{name}{index}": schema for index in range(highest + 1)})
    return result


def _all_properties(schema: dict[str, t.Any]) -> Properties:
    result: Properties = dict(schema.get("properties", {}))
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ())):
        result.update(_all_properties(part))
    return result


def check_variants(schema: dict[str, t.Any], value: dict[str, t.Any], path: str, errors: dict[str, str]) -> set[str]:
    """Adds what is wrong with an object that has all parts of a schema, or the part of its type; its unknown keys."""
    if "allOf" in schema:
        return set.intersection(*[check_variants(part, value, path, errors) for part in schema["allOf"]])
    if "oneOf" not in schema:
        check_object(path, schema["properties"], value, True, errors)
        return set(value) - set(schema["properties"])
    key = schema["type-property"]
    if value.get(key) is None and schema.get("optional"):
        return set(value)
    wrong = _errors_of(value.get(key), schema["type-property-schema"], key)
    errors.update(wrong)
    if wrong:
        return set(value) - {key}
    variant = next(one for one in schema["oneOf"] if one["instance-type"] == value[key])
    return check_variants(variant, value, f"{path}oneOf[{value[key]}]", errors) - {key}


def _is_list(schema: dict[str, t.Any]) -> bool:
    return isinstance(schema.get("format"), str) and schema["format"].endswith("-list")


def check_object(
    path: str, schema: Properties, value: dict[str, t.Any], additional: bool, errors: dict[str, str]
) -> None:
    """Adds to ``errors`` what is wrong with the properties of ``value``; puts aliases right."""
    prefix = f"{path}." if path else ""
    for key in list(value):
        alias = schema.get(key, {}).get("alias")
        if alias is None:
            continue
        if value.get(alias) is not None:
            errors[prefix + key] = f"cannot set both '{key}' and its alias target '{alias}'"
        else:
            value[alias] = value.pop(key)
    for key, wanted in schema.items():
        check_property(value.get(key), wanted, prefix + key, errors)
    for key in value:
        if key in schema:
            requires = schema[key].get("requires")
            if isinstance(requires, str) and value.get(requires) is None:
                told = f"missing property required by '{prefix}{key}'"
                before = errors.get(prefix + requires)
                errors[prefix + requires] = rf"{before}\n{told}" if before else told
        elif not additional:
            errors[prefix + key] = UNDEFINED


def check_property(value: t.Any, schema: dict[str, t.Any], path: str, errors: dict[str, str]) -> None:
    """Adds to ``errors`` what is wrong with one value."""
    if "alias" in schema:
        return
    if value is None:
        if not schema.get("optional") and schema.get("type") != "null" and not _is_variant(schema):
            errors[path] = "property is missing and it is not optional"
        return
    if "oneOf" in schema:
        schema = next((one for one in schema["oneOf"] if not _errors_of(value, one, path)), schema["oneOf"][0])
    error = _type_error(value, schema.get("type"))
    if error:
        errors[path] = error
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_property(item, schema.get("items", {}), f"{path}[{index}]", errors)
    elif isinstance(value, dict):
        if "properties" in schema:
            check_object(path, schema["properties"], value, bool(schema.get("additionalProperties")), errors)
    elif not isinstance(value, bool):
        error = _text_error(str(value), schema, path)
        if error:
            errors[path] = error


def _is_variant(schema: dict[str, t.Any]) -> bool:
    """The property belongs to one type of many, and may be absent."""
    return "type-property" in schema or "instance-types" in schema


def _errors_of(value: t.Any, schema: dict[str, t.Any], path: str) -> dict[str, str]:
    errors: dict[str, str] = {}
    check_property(value, schema, path, errors)
    return errors


def is_number(text: str) -> bool:
    """A decimal number, as the schema understands it."""
    return re.fullmatch(r"[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?", text) is not None


def _type_error(value: t.Any, wanted: str | None) -> str | None:
    if not wanted or wanted == "any":
        return None
    kind = {list: "ARRAY", dict: "HASH", bool: "JSON::PP::Boolean"}.get(type(value))
    if wanted in ("array", "object"):
        return None if kind == {"array": "ARRAY", "object": "HASH"}[wanted] else f"type check ('{wanted}') failed"
    if kind:
        return (
            None if wanted == "boolean" and value in (True, False) else f"type check ('{wanted}') failed - got {kind}"
        )
    text = str(value)
    fits = {
        "boolean": text in ("0", "1"),
        "integer": re.fullmatch(r"[+-]?\d+", text) is not None,
        "number": is_number(text),
    }.get(wanted, True)
    return None if fits else f"type check ('{wanted}') failed - got '{text}'"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of Perl; ``(?^i:…)`` resets the flags there."""
    pattern = re.sub(r"\(\?\^u?:", "(?:", pattern)
    pattern = re.sub(r"\(\?\^([i]+)u?:", r"(?\1:", pattern)
    return re.compile(rf"(?:{pattern})\n?\Z")


def _text_error(text: str, schema: dict[str, t.Any], path: str) -> str | None:
    wanted = schema.get("format")
    if wanted:
        try:
            check_format(wanted, text, path)
        except FormatError as error:
            return f"invalid format - {error}"
    if schema.get("pattern") and not _compiled(schema["pattern"]).match(text):
        return "value does not match the regex pattern"
    if schema.get("maxLength") is not None and len(text) > int(schema["maxLength"]):
        return f"value may only be {schema['maxLength']} characters long"
    if schema.get("minLength") is not None and len(text) < int(schema["minLength"]):
        return f"value must be at least {schema['minLength']} characters long"
    if is_number(text):
        if schema.get("maximum") is not None and float(text) > float(schema["maximum"]):
            return f"value must have a maximum value of {schema['maximum']}"
        if schema.get("minimum") is not None and float(text) < float(schema["minimum"]):
            return f"value must have a minimum value of {schema['minimum']}"
    if schema.get("enum") and text not in schema["enum"]:
        return f"value '{text}' does not have a value in the enumeration '{', '.join(schema['enum'])}'"
    return None


def check_format(wanted: str | Properties, text: str, path: str = "") -> None:
    """Dies with the words of the format that the text does not have."""
    if isinstance(wanted, dict):
        parse_properties(wanted, text, path)
        return
    name, kind = wanted, ""
    for suffix in ("-list", "-opt"):
        if wanted.endswith(suffix):
            name, kind = wanted.removesuffix(suffix), suffix
    if name in PROPERTIES:
        found = parse_properties(PROPERTIES[name], text, path)
        if name in VALIDATORS:
            VALIDATORS[name](found)
    elif name in CHECKS and not (kind == "-opt" and not text):
        for item in split_list(text) if kind == "-list" else [text]:
            CHECKS[name](item)


def parse_boolean(text: str) -> str:
    """``1`` or ``0`` of a word for yes or no in a property string; other words unchanged."""
    if re.fullmatch("1|on|yes|true", text, re.IGNORECASE):
        return "1"
    return "0" if re.fullmatch("0|off|no|false", text, re.IGNORECASE) else text


def default_key(schema: Properties) -> str | None:
    """The key whose value may be written without the key."""
    return next((key for key, wanted in schema.items() if wanted.get("default_key")), None)


def properties_of(schema: dict[str, t.Any]) -> Properties:
    """The keys of an option that is a property string; many formats are only named."""
    wanted = schema["format"]
    return wanted if isinstance(wanted, dict) else PROPERTIES[wanted]


def parse_properties(schema: Properties, text: str, path: str = "", skip: t.Collection[str] = ()) -> dict[str, str]:
    """The keys of ``file,key=value,…``."""
    result: dict[str, str] = {}
    default, used = default_key(schema), False
    duplicate = "duplicate key in comma-separated list property: {}"
    for part in text.split(","):
        if not part.strip():
            continue
        if pair := re.match("([^=]+)=(.+)$", part):
            key, value = pair.groups()
            if key in skip:
                continue
            if key in result:
                raise FormatError(duplicate.format(key))
            wanted = schema.get(key)
            if wanted and "alias" in wanted:
                if "keyAlias" in wanted:
                    if wanted["keyAlias"] in result:
                        raise FormatError(f"key alias '{wanted['keyAlias']}' is already defined")
                    result[wanted["keyAlias"]] = key
                key = wanted["alias"]
                wanted = schema.get(key)
                if key in result:
                    raise FormatError(f"key '{key}' is already defined (via alias)")
        elif "=" not in part:
            if used:
                raise FormatError(duplicate.format(default))
            if default is None:
                raise FormatError("value without key, but schema does not define a default key")
            if result.get(default, "0") not in ("", "0"):
                raise FormatError(duplicate.format(default))
            key, value, used = default, part, True
            wanted = schema[default]
        else:
            raise FormatError("missing key in comma-separated list property")
        result[key] = parse_boolean(value) if wanted and wanted.get("type") == "boolean" else value
    errors: dict[str, str] = {}
    check_object(path, schema, result, False, errors)
    if errors:
        raise FormatError("format error", errors=dict(sorted(errors.items())))
    return result


def print_properties(schema: Properties, data: t.Mapping[str, t.Any], skip: t.Collection[str] = ()) -> str:
    """The property string of keys: the default key first, then what is required, then the rest."""
    default = default_key(schema)
    combined = {wanted["keyAlias"]: wanted["alias"] for wanted in schema.values() if "keyAlias" in wanted}
    keys = sorted(key for key in data if key not in skip and data[key] is not None)
    required = [key for key in keys if key in schema and not schema[key].get("optional")]
    done: set[str] = set()
    parts = []
    for key in [*([default] if default in keys else []), *required, *keys]:
        if key is None or key in done:
            continue
        done.add(key)
        text = format_size(int(data[key])) if schema.get(key, {}).get("format") == "disk-size" else str(data[key])
        if key in combined and data.get(combined[key]) is not None:  # virtio=AA:BB:… is model and macaddr
            done.add(combined[key])
            parts.append(f"{text}={data[combined[key]]}")
        else:
            parts.append(text if key == default else f"{key}={text}")
    return ",".join(parts)
