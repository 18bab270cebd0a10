# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents, held against docs/schemas."""

from __future__ import annotations

import json
import os
import re
import typing as t
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"

#: Path in a state directory → schema of what is there; ``*`` stands for one name.
DOCUMENTS = {
    "deployment.json": "state",
    "addresses.json": "addresses",
    "lease.json": "lease",
    "out-of-service.json": "service",
    "journal.json": "journal",
    "kvm.json": "kvm",
    "reservation.json": "reservation",
    "seats.json": "seats",
    "releases/*.json": "release",
    "releases/current": "current",
    "roots/*/image.json": "image",
    "results/*/results.json": "report",
    "results/drift.json": "findings",
    "results/audit.json": "findings",
    "events.jsonl": "event",
    "nodes/*/current.json": "machine",
    "nodes/*/verified.json": "machine",
    "nodes/*/intended.json": "machine",
    "nodes/*/in/node.json": "node",
    "volumes/*/owner.json": "owner",
}
#: Path of what is no document of this collection → why; a directory stands for all that is in it.
OTHERS = {
    "ca": "a key",
    "ca.pub": "a key",
    "id_ed25519": "a key",
    "id_ed25519.pub": "a key",
    "new": "keys",
    "hostkeys": "keys and certificates",
    "known_hosts": "read by OpenSSH",
    "ssh_config": "read by OpenSSH",
    "clustershell": "read by ClusterShell",
    "connect": "a program",
    "lock": "held, never read",
    "lease.lock": "held, never read",
    "results/*/junit.xml": "the form is that of Jenkins",
    "results/report.html": "read by people",
    "nodes/*/console.log": "what a node printed",
    "nodes/*/console.log.1": "what a node printed",
    "nodes/*/qmp": "a socket",
    "volumes/*/*": "data of a node",
    "images": "root file systems",
    "guests": "links to other state directories",
    "roots/*/*": "what image.json describes",
    "roots/*+*": "what such a file leads to",
    "nxc": "forms of NixOS Compose",
    "shipped": "what the controller has, as it has it",
}

#: What Ansible itself adds to a result that names a file, as ``path``.
ANSIBLE = ("uid", "gid", "owner", "group", "mode", "state", "size")


def complaints(data: t.Any, name: str) -> list[str]:
    """What a schema has against data.

    :param name: of the schema.
    """
    return [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(data)]


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def schema_of(path: str) -> str | None:
    """Name of the schema for a path in a state directory."""
    return next((name for pattern, name in DOCUMENTS.items() if _fits(pattern, path)), None)


def _fits(pattern: str, path: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), path) is not None


def _files(top: Path, others: t.Collection[str]) -> t.Iterator[str]:
    """Paths of all files, but for those of others, which are not looked into. Images may be links to their bundles."""
    todo = [""]
    while todo:
        folder = todo.pop()
        for entry in os.scandir(top / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if schema_of(path) is None and any(_fits(pattern, path) for pattern in others):
                continue
            if entry.is_dir(follow_symlinks=folder == "roots"):
                todo.append(path)
            else:
                yield path


def check_state(directory: str | Path, others: t.Collection[str] = ()) -> set[str]:
    """Fail if a file of a state directory is no known document, or does not fit; the schemas that were used.

    :param others: paths, besides those known, of what is no document.
    """
    wrong: dict[str, t.Any] = {}
    seen = set()
    for path in _files(Path(directory), (*OTHERS, *others)):
        name = schema_of(path)
        if name is None:
            wrong[path] = "is neither a known document nor one of the exceptions in tests/e2e/schemas.py"
            continue
        seen.add(name)
        text = (Path(directory) / path).read_text(encoding="utf-8")
        documents = text.splitlines() if path.endswith(".jsonl") else [text]
        found = [complaint for document in documents for complaint in complaints(json.loads(document), name)]
        if found:
            wrong[path] = found
    assert wrong == {}, wrong
    return seen


def check_told(module: str, task: t.Mapping[str, t.Any]) -> None:
    """Fail if what a task of a module returned that knows no deployment does not fit. Ansible adds words of its own."""
    added = {"failed", "warnings", "ansible_facts", "invocation", *ANSIBLE}
    found = complaints({key: value for key, value in task.items() if key not in added}, module)
    assert found == [], (module, found)


def check_results(module: str, task: t.Mapping[str, t.Any]) -> None:
    """Fail if what a task of a fleet module returned does not fit: as a whole, and of each deployment.

    What is about all deployments is said once, and put back to the deployment that it is of.
    """
    wrong = {"": complaints(task, "task")}
    schema = _validator(module).schema
    told = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
    hosts = {name: part.get("hosts", ()) for name, part in task["deployments"].items()}
    for name, part in task["deployments"].items():
        result = {key: value for key, value in part.items() if key not in ("hosts", "failed", *ANSIBLE)}
        if part.get("failed"):
            result.pop("changed", None)
            wrong[name] = complaints(result, "failure")
        else:
            foreign = {host for other in task["deployments"] if other != name for host in hosts[other]}
            result.update((key, task[key]) for key in ("failed_nodes", "diff") if key in told and key in task)
            if "nodes" in told:
                result["nodes"] = {node: word for node, word in task["nodes"].items() if node not in foreign}
            wrong[name] = complaints(result, module)
    found = {name: each for name, each in wrong.items() if each}
    assert found == {}, (module, found)
