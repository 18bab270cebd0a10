"""The parameters of a call, checked with Kadeploy's words (``paramsparser.rb``)."""

from __future__ import annotations

import json
import re
import typing as t
import urllib.parse

import yaml

from .errors import CLIENT, NODELIST, OPTION, HttpError, KadeployError
from .nodesets import expand, ordered
from .options import Automaton
from .steps import MACROSTEPS, MICROSTEPS, STEPS
from .web import Request

_JSON, _YAML = "application/json", "application/x-yaml"
_CLASSES: dict[type, str] = {str: "String", int: "Integer", list: "Array", dict: "Hash", bool: "TrueClass"}


def read(request: Request) -> dict[str, t.Any]:
    """Body and query of a call."""
    accepted = _list(request.headers.get("Accept"))
    if accepted is not None and not {_JSON, _YAML} & set(accepted):
        raise HttpError(406, "Not Acceptable", ", ".join(accepted))
    found: t.Any = {}
    if request.body:
        kind = request.headers.get("Content-Type", "").strip()
        if not kind:
            raise _unsupported("The Content-Type HTTP header has to be set")
        if len(request.body) > 1 << 20:
            why = f"The content in the request's body cannot be greater than {1 << 20} bytes"
            raise HttpError(413, "Request Entity Too Large", why)
        plain = kind.split(";")[0].lower()
        if plain == _JSON:
            try:
                found = json.loads(request.body)
            except ValueError:
                raise _unsupported("Invalid JSON content in request's body") from None
        elif plain == _YAML:
            try:
                found = yaml.safe_load(request.body)
            except yaml.YAMLError:
                raise _unsupported("Invalid YAML content in request's body") from None
        else:
            raise _unsupported(f"The Content-Type {kind} is not supported\nSupported: {_JSON}, {_YAML}")
    if not isinstance(found, dict):
        raise _unsupported("The content of the request's body must be a Hash")
    return found | {key: values if len(values) > 1 else values[0] for key, values in request.query.items()}


def wants_yaml(request: Request) -> bool:
    """Whether the answer is to be YAML."""
    accepted = [kind for kind in _list(request.headers.get("Accept")) or [] if kind in (_JSON, _YAML)]
    return bool(accepted) and accepted[0] == _YAML


def _unsupported(why: str) -> HttpError:
    return HttpError(415, "Unsupported Media Type", why)


def _list(value: str | None) -> list[str] | None:
    """The kinds of a header; ``None`` for whatever there is."""
    kinds = [part.split(";")[0].strip().lower() for part in (value or "").split(",") if part.strip()]
    return kinds if kinds and not {"*", "*/*"} & set(kinds) else None


class Parameters:
    """:param nodes: all that the server knows"""

    def __init__(self, given: t.Mapping[str, t.Any], nodes: t.Collection[str]) -> None:
        self.given = given
        self._nodes = nodes

    def toggle(self, name: str) -> bool:
        """Given at all, and not ``false``."""
        return name in self.given and self.given[name] is not False

    def get(
        self,
        name: str,
        kind: type,
        *,
        default: t.Any = None,
        mandatory: bool = False,
        values: t.Sequence[str] = (),
        emptiable: bool = False,
        code: int = OPTION,
    ) -> t.Any:
        """One parameter, checked."""
        value = self.given.get(name)

        def wrong(why: str) -> KadeployError:
            return KadeployError(code, f"Parameter '{name}': {why}")

        if value is None:
            if default is None and mandatory:
                raise wrong("mandatory")
            return default
        if kind is list and isinstance(value, str):
            value = [value]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise wrong(f"should be a {_CLASSES[kind]}")
        if value in ("", [], {}) and kind is not int and not emptiable:
            raise wrong("cannot be empty")
        if values and value not in values:
            raise wrong(f"must have a value in ({','.join(values)})")
        return value

    def number(self, name: str, first: int, last: int) -> int | None:
        """A number within a range."""
        value: int | None = self.get(name, int)
        if value is not None and not first <= value <= last:
            raise KadeployError(OPTION, f"Parameter '{name}': must be in the range {first}..{last}")
        return value

    def nodes(self, *, mandatory: bool = False) -> list[str] | None:
        """The list of nodes, in Kadeploy's order."""
        words = self.get("nodes", list, mandatory=mandatory, code=NODELIST)
        if words is None:
            return None
        found: dict[str, None] = {}
        for name in (name for word in words for name in expand(str(word))):
            found[self._node(name)] = None
        return ordered(found)

    def _node(self, name: str) -> str:
        if name in self._nodes:
            return name
        if not name:
            raise KadeployError(NODELIST, "Parameter 'nodes': Empty node name")
        pattern = re.compile(rf"(?:^|\D){name}(?:\D|$)" if name[0].isdigit() else rf"{name}(?:\D|$)")
        found = [node for node in self._nodes if pattern.search(node)]
        if not found:
            raise KadeployError(NODELIST, f"Parameter 'nodes': The node '{name}' does not exist")
        if len(found) > 1:
            why = f"Ambibuous node name '{name}' that can refer to {' or '.join(found)}"
            raise KadeployError(NODELIST, f"Parameter 'nodes': {why}")
        return found[0]

    def breakpoint(self) -> tuple[str, str] | None:
        """Macrostep and microstep before which machines stay."""
        value = self.get("breakpoint", str)
        if value is None:
            return None
        match = re.match(r"^(\w+)(?::(\w+))?$", value)
        why = "The breakpoint should be specified as macrostep_name:microstep_name or macrostep_name"
        if match:
            macro, micro = match.group(1), match.group(2) or ""
            if macro not in STEPS and macro not in MACROSTEPS:
                why = f"Invalid macrostep name '{macro}'"
            elif micro and micro not in MICROSTEPS:
                why = f"Invalid microstep name '{micro}'"
            else:
                return macro, micro
        raise KadeployError(OPTION, f"Parameter 'breakpoint': {why}")

    def client(self) -> str:
        """The address under which the client serves its files."""
        value: str = self.get("client", str, default="")
        if value and urllib.parse.urlsplit(value).scheme not in ("http", "https"):
            raise KadeployError(CLIENT, "Parameter 'client': Invalid client protocol")
        return value

    def automaton(self) -> Automaton | None:
        """Other ways through the macrosteps than those of the cluster."""
        value = self.get("automata", dict)
        if value is None:
            return None
        found: Automaton = []
        for macro, ways in value.items():
            if macro not in MACROSTEPS:
                continue
            for way in ways:
                if way.get("name") not in STEPS:
                    raise KadeployError(OPTION, f"Parameter 'automata': Invalid macrostep instance '{way.get('name')}'")
            found.append((macro, [(way["name"], int(way["retries"]), float(way["timeout"])) for way in ways]))
        return found
