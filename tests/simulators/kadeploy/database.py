"""What survives the server: environments, rights, states of nodes, hooks, in ``database.json``."""

from __future__ import annotations

import json
import re
import threading
import time
import typing as t
from pathlib import Path

from .errors import CONFLICTING_ELEMENTS, EXISTING, NOTHING_MODIFIED, KadeployError, not_found
from .nodesets import expand_all

Json = dict[str, t.Any]

#: User → node (``*``: all) → partitions (``*``: all).
Rights = dict[str, dict[str, list[str]]]


class Database:
    """All tables; whoever changes them holds the lock."""

    def __init__(self, state: Path) -> None:
        self._path = state / "database.json"
        self.lock = threading.RLock()
        self.fresh = not self._path.exists()
        kept: Json = {} if self.fresh else json.loads(self._path.read_text())
        self.environments: list[Json] = kept.get("environments", [])
        self.rights: Rights = kept.get("rights", {})
        self.nodes: dict[str, Json] = kept.get("nodes", {})
        #: Called with the identifier of a deployment that ends, where it asked for that.
        self.hook: str = kept.get("hook", "")
        self._last: int = kept.get("last", 0)

    def save(self) -> None:
        """Write everything."""
        tables = {"environments": self.environments, "rights": self.rights, "nodes": self.nodes}
        new = self._path.with_suffix(".new")
        with self.lock:
            new.write_text(json.dumps({**tables, "hook": self.hook, "last": self._last}, indent=1))
            new.replace(self._path)

    # Environments

    def add_environment(self, description: Json, user: str) -> Json:
        """Register one."""
        with self.lock:
            keys = ("name", "version", "arch")
            for known in self.environments:
                same = all(known["description"].get(key) == description.get(key) for key in keys)
                if same and known["user"] == user:
                    why = f"An environment with the name {description['name']} and the version "
                    why += f"{description['version']} has already been recorded for the user {user}"
                    raise KadeployError(EXISTING, why)
            self._last += 1
            added = {"id": self._last, "user": user, "description": description}
            self.environments.append(added)
            self.save()
            return added

    def find(
        self,
        *,
        name: str = "",
        user: str = "",
        version: str | None = None,
        everyone: bool = False,
        private: bool = False,
        every_version: bool = False,
        arch: str = "",
    ) -> list[Json]:
        """Environments in the order of Kadeploy's query.

        :param name: as in SQL's ``LIKE``; an alias will do as well
        :param everyone: public ones of others, too
        :param private: private ones, too
        :param every_version: else only the last one of each name and user, if no version is given
        """
        found = []
        for known in self.environments:
            about = known["description"]
            if name and not (_like(about["name"], name) or _like(about.get("alias", ""), name)):
                continue
            if user and not _like(known["user"], user) and not (everyone and about["visibility"] == "public"):
                continue
            if about["visibility"] == "private" and not private:
                continue
            if (version is not None and str(about["version"]) != version) or (arch and about.get("arch") != arch):
                continue
            found.append(known)
        if version is None and not every_version:
            last: dict[tuple[str, str, str], Json] = {}
            for known in sorted(found, key=lambda known: int(known["description"]["version"])):
                last[(known["description"]["name"], known["user"], known["description"].get("arch", ""))] = known
            found = [known for known in found if known in last.values()]
        order = ("public", "private", "shared")

        def rank(known: Json) -> tuple[int, str, int]:
            about = known["description"]
            newest = -about["version"] if every_version else 0
            return order.index(about["visibility"]), about["name"], newest

        return sorted(found, key=rank)

    def environment(self, number: int | None) -> Json | None:
        """By its number."""
        return next((known for known in self.environments if known["id"] == number), None)

    # Nodes

    def set_state(self, names: t.Iterable[str], state: str, user: str, environment: int | None = None) -> None:
        """The state of nodes; begun operations forget what was known."""
        with self.lock:
            for name in names:
                row = {"state": state, "user": user, "environment": environment, "date": time.time()}
                if name in self.nodes and state != "aborted" and not state.endswith("ing"):
                    row = {**self.nodes[name], "state": state}
                    if state == "deploy_env":
                        row |= {"user": user, "environment": None, "date": time.time()}
                self.nodes[name] = row
            self.save()

    def state(self, name: str) -> Json | None:
        """What is told about a node, if anything ever happened to it."""
        row = self.nodes.get(name)
        if row is None:
            return None
        known = self.environment(row["environment"])
        about = known["description"] if known else {}
        environment = {"name": about.get("name"), "version": about.get("version")}
        environment["user"] = known["user"] if known else None
        return {"state": row["state"], "user": row["user"], "environment": environment}

    def busy(self, name: str, seconds: float) -> bool:
        """Something goes on with a node, and did not begin too long ago."""
        row = self.nodes.get(name)
        return bool(row and row["state"].endswith("ing") and time.time() - row["date"] < seconds)

    # Rights

    def granted(self, user: str, nodes: t.Sequence[str]) -> bool:
        """Whether a user may use all of the nodes."""
        own = self.rights.get(user, {})
        return "*" in own or all(node in own for node in nodes)

    def find_rights(self, user: str | None, nodes: t.Sequence[str]) -> Rights:
        """Rights of a user, or of all, on nodes, or on all."""
        found: Rights = {}
        for name, own in self.rights.items():
            fits = {node: parts for node, parts in own.items() if not nodes or node in nodes or node == "*"}
            if (user is None or name == user) and fits:
                found[name] = {"*": fits["*"]} if "*" in fits else fits
        if not found:
            raise not_found()
        return found

    def grant(
        self, user: str, words: t.Sequence[str] | None, partitions: list[str], administrators: list[str]
    ) -> Rights:
        """Add rights, taking nodes from nobody."""
        nodes = expand_all(words) if words is not None else ["*"]
        with self.lock:
            own = self.rights.get(user, {})
            if "*" in own.get("*", []):
                raise KadeployError(NOTHING_MODIFIED)
            for other, theirs in self.rights.items():
                if other != user and other not in administrators and set(theirs) & {*nodes, "*"}:
                    why = f"Some rights are already set for user {other} on nodes {','.join(nodes)}"
                    raise KadeployError(CONFLICTING_ELEMENTS, why)
            added = {}
            for node in nodes:
                known = own.get(node, [])
                missing = [] if "*" in known else [part for part in partitions if part not in known]
                if missing:
                    added[node] = missing
            if not added:
                raise KadeployError(NOTHING_MODIFIED)
            if "*" in added:
                own = {}
            self.rights[user] = own | {n: p if "*" in p else [*own.get(n, []), *p] for n, p in added.items()}
            self.save()
            return {user: added}

    def withdraw(self, user: str, nodes: t.Sequence[str] | None) -> tuple[Rights, list[str]]:
        """Take rights away; what was said to be taken, and the nodes that are lost."""
        with self.lock:
            own = self.rights.get(user, {})
            lost = [node for node in own if nodes is None or node in nodes]
            if not lost and not (nodes and "*" in own):
                raise KadeployError(NOTHING_MODIFIED)
            if nodes and "*" in own:
                why = "Trying to remove rights for a specific node while rights are defined with a wildcard"
                raise KadeployError(CONFLICTING_ELEMENTS, why)
            for node in lost:
                del own[node]
            if not own:
                self.rights.pop(user, None)
            self.save()
            return {user: {node: ["*"] for node in nodes or ["*"]}}, lost


def _like(value: str, pattern: str) -> bool:
    """SQL's ``LIKE``."""
    words = (re.escape(word) for word in re.split(r"(%|_)", pattern))
    expression = "".join({"%": ".*", "_": "."}.get(word, word) for word in words)
    return re.fullmatch(expression, value) is not None
