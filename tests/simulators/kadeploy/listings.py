"""``kaenv3`` and ``kanodes3``."""

from __future__ import annotations

import re
import typing as t
import urllib.parse

import yaml

from .client import COMMON, NODES, Connection, Export, Failure, choose, read_description
from .commands import _Given, _nodes
from .options_parser import Option

Json = dict[str, t.Any]

_ENVIRONMENT_OPERATIONS = ("add", "delete", "list", "print", "toggle", "tag_of")
_ENVIRONMENTS = (
    *COMMON,
    Option("add", ("-a", "--add"), "yes"),
    Option("delete", ("-d", "--delete"), "yes"),
    Option("list", ("-l", "--list"), "maybe"),
    Option("print", ("-p", "--print"), "yes"),
    Option("all", ("-s", "--all-versions")),
    Option("tag", ("-t", "--visibility-tag"), "yes", r"^(public|private|shared)$"),
    Option("tag_of", ("--set-visibility-tag",), "yes"),
    Option("toggle", ("--toggle-destructive-tag",), "yes"),
    Option("user", ("-u", "--env-user"), "yes", r"^\w+$"),
    Option("number", ("--env-version",), "yes", r"^\d+$"),
    Option("arch", ("--env-arch",), "yes"),
    Option("yes", ("--yes",)),
    Option("secure", ("--[no-]secure",)),
)
_STATES = (
    *COMMON,
    *NODES,
    Option("states", ("-s", "--get-nodes-state")),
    Option("deploy", ("-d", "--get-deployments-status")),
    Option("reboot", ("-r", "--get-reboots-status")),
    Option("power", ("-p", "--get-powers-status")),
    Option("wid", ("-w", "--workflow-id"), "yes"),
)


class _Dumper(yaml.SafeDumper):
    """Writes text as Ruby does."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quoted = re.match(r"^[^\w][^\"]*$", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _text)


def kaenv3(arguments: t.Sequence[str]) -> int:
    """Environments."""
    given = _Given(_ENVIRONMENTS, arguments)
    connection = Connection(given["server"] or "", given["password"] or "")
    if given["version"]:
        print(connection.version)
        return 0
    chosen = [name for name in _ENVIRONMENT_OPERATIONS if given[name]]
    if not chosen:
        raise Failure("You must choose an operation")
    operation = chosen[-1]
    if operation == "add":
        _add(connection, given["add"])
    elif operation in ("list", "print"):
        _show(connection, given, operation)
    else:
        if operation == "tag_of" and not given["tag"]:
            raise Failure("You must define the visibility value")
        words = [given["user"] or connection.user, given[operation], given["number"] or ""]
        path = "/environments/" + "/".join(urllib.parse.quote(word) for word in words if word)
        body: Json = {} if given["all"] else {"last": True}
        body |= {"toggle_destructive": True} if operation == "toggle" else {}
        body |= {"visibility": given["tag"]} if operation == "tag_of" else {}
        connection.call("DELETE" if operation == "delete" else "PUT", path, body)
    return 0


def _add(connection: Connection, source: str) -> None:
    export = Export()
    body: Json = {"environment": export.description(read_description(source, connection.modern))}
    client = export.begin()
    if client:
        body["client"] = client
    connection.call("POST", "/environments", body)


def _show(connection: Connection, given: _Given, operation: str) -> None:
    name = given[operation]
    found = connection.find_environments(
        username=given["user"],
        name="" if name is True else name,
        version=given["number"],
        arch=given["arch"],
        last="" if given["all"] or given["number"] else "true",
        every="true" if given["all"] else "",
    )
    if not found:
        print("No environment has been found")
    elif operation == "list":
        print("Name                  Version User        Description")
        print("####                  ####### ####        ###########")
        for about in found:
            print(_short(about))
    else:
        for about in choose(found, connection.user, given["user"] or ""):
            del about["user"]
            print(yaml.dump(about, Dumper=_Dumper, explicit_start=True, sort_keys=False), end="")


def _short(about: Json) -> str:
    """A line of the list."""
    if "description" not in about:
        raise Failure("undefined method `size' for nil:NilClass (NoMethodError)")
    name, more = about["name"], max(0, len(about["name"]) - 21)
    line = f"{name:<21} {about['version']!s:<{max(0, 7 - more)}} {about['user']:<11} "
    left = 80 - (max(21, len(name)) + max(0, 7 - more) + max(11, len(about["user"])) + 3)
    text = about["description"]
    return line + (text if len(text) <= left else text[: left - 3] + "...")


def kanodes3(arguments: t.Sequence[str]) -> int:
    """States of nodes, and what goes on."""
    given = _Given(_STATES, arguments)
    connection = Connection(given["server"] or "", given["password"] or "")
    if given["version"]:
        print(connection.version)
        return 0
    nodes = _nodes(given)
    paths = {"deploy": "/deployment", "reboot": "/reboot", "power": "/power"}
    chosen = [name for name in paths if given[name]]
    if chosen:
        if nodes:
            raise Failure("Node list is useless when gathering deployment statuses")
        path = paths[chosen[-1]] + (f"/{given['wid']}" if given["wid"] else "")
    elif given["states"]:
        if given["wid"]:
            raise Failure("Workflow ID is useless when gathering node's deployment states")
        path = "/nodes" + ("?" + urllib.parse.urlencode([("nodes", node) for node in nodes]) if nodes else "")
    else:
        raise Failure("You must choose an operation")
    print(connection.text("GET", path, accept="application/x-yaml"), end="")
    return 0
