"""The calls that read and change tables (``kaenv.rb``, ``kanodes.rb``, ``karights.rb``)."""

from __future__ import annotations

import typing as t

from .descriptions import check
from .errors import NOTHING_MODIFIED, HttpError, KadeployError, forbidden, not_found
from .nodesets import ordered
from .parameters import Parameters
from .server import Kadeploy
from .web import Request

Json = dict[str, t.Any]


class Call:
    """A call with who makes it."""

    def __init__(self, request: Request, given: Json, user: str, parts: list[str], server: Kadeploy) -> None:
        self.method = request.method
        self.user = user
        self.parts = parts
        self.given = given
        self.parameters = Parameters(given, server.cluster_of)
        self.dry = self.parameters.toggle("dry_run")


class Tables:
    """Environments, nodes, rights."""

    def __init__(self, server: Kadeploy) -> None:
        self._server = server

    def almighty(self, user: str) -> bool:
        """Whether a user is an administrator."""
        return user in self._server.options.administrators

    # Environments

    def visible(
        self, user: str, name: str, owner: str | None, version: t.Any, *, all_versions: bool = False, arch: str = ""
    ) -> list[Json]:
        """Environments that a user may see."""
        almighty = self.almighty(user)
        wanted = owner or ("" if almighty else user)
        return self._server.database.find(
            name=name,
            user=wanted,
            version=None if version in (None, "") else str(version),
            everyone=not owner,
            private=wanted == user or almighty,
            every_version=all_versions,
            arch=arch,
        )

    def environments(self, call: Call) -> t.Any:
        if call.method == "POST":
            return self._register(call)
        if call.method == "GET":
            return self._show(call)
        user, name, version = [*call.parts, "", "", ""][:3]
        if not self.almighty(call.user) and call.user != user:
            what = "delete" if call.method == "DELETE" else "modify"
            raise forbidden(f"Only administrators are allowed to {what} other user's environment")
        last = call.parameters.toggle("last")
        if call.method == "PUT":
            tag = call.parameters.get("visibility", str, values=("public", "private", "shared"))
            if tag == "public" and not self.almighty(user):
                raise forbidden('Only administrators can use the "public" tag')
            if not version and not last:
                raise not_found()
        found = self._server.database.find(
            name=name, user=user, version=version or None, private=True, every_version=not last
        )
        if not found or not name:
            raise not_found()
        if call.method == "DELETE":
            with self._server.database.lock:
                gone = [known["id"] for known in found]
                kept = [known for known in self._server.database.environments if known["id"] not in gone]
                self._server.database.environments = kept
                self._server.database.save()
            return [known["description"] for known in found]
        return self._modify(call, found[0])

    def _modify(self, call: Call, known: Json) -> Json:
        about: Json = known["description"]
        new = dict(about)
        if "visibility" in call.given:
            new["visibility"] = call.given["visibility"]
        if call.parameters.toggle("toggle_destructive"):
            new["destructive"] = not about["destructive"]
        if new == about:
            raise KadeployError(NOTHING_MODIFIED)
        known["description"] = new
        self._server.database.save()
        return new

    def _register(self, call: Call) -> Json:
        client = call.parameters.client()
        given = call.parameters.get("environment", dict, mandatory=True)
        user = given.get("user") if self.almighty(call.user) and given.get("user") else call.user
        modern = self._server.options.modern
        description, _unused = check(given, modern=modern, files=self._server.files, client=client)
        if description["visibility"] == "public" and not self.almighty(user):
            raise forbidden('Only administrators can use the "public" tag')
        if not call.dry:
            self._server.database.add_environment(description, user)
        return description

    def _show(self, call: Call) -> list[Json]:
        given = call.parameters
        owner, version, name = (given.get(key, str) for key in ("username", "version", "name"))
        arch = given.get("arch", str, default="")
        every = not given.toggle("last")
        found = self.visible(call.user, name or "", owner, version, all_versions=every, arch=arch)
        if not found and (name or version):
            raise not_found()
        return [{**known["description"], "user": known["user"]} for known in found]

    # Nodes and rights

    def nodes(self, call: Call) -> t.Any:
        asked = call.parameters.nodes()
        names = [*call.parts[:1], *(asked or ())] or list(self._server.cluster_of)
        states = {name: self._server.database.state(name) for name in names}
        known = sorted(name for name, state in states.items() if state)
        states = {name: states[name] for name in (*known, *states)}
        if call.parameters.toggle("list"):
            return ordered(names)
        if call.parts and states[call.parts[0]] is None:
            raise not_found(call.parts[0])
        if asked and not any(states.values()):
            raise not_found()
        return states[call.parts[0]] if call.parts else states

    def rights(self, call: Call) -> t.Any:
        database = self._server.database
        nodes = call.parameters.nodes()
        if not self.almighty(call.user):
            raise forbidden("Only administrators are allowed to manage rights")
        if call.method == "PUT":
            raise HttpError(405, "Method Not Allowed", "Kadeploy::HTTPd::InvalidError")
        more = [*call.parts[1:2], *(nodes or ())]
        if call.method == "GET":
            return database.find_rights(call.parts[0] if call.parts else None, more)
        if call.method == "DELETE":
            if not call.parts:
                raise not_found()
            return self._server.withdraw(call.parts[0], more or None)
        user = call.parameters.get("username", str, default=call.user)
        partitions = call.parameters.get("partitions", list, default=["*"])
        if nodes and call.parameters.toggle("overwrite"):
            for other, own in list(database.rights.items()):
                theirs = [node for node in nodes if node in own]
                if other != user and not self.almighty(other) and theirs:
                    database.withdraw(other, theirs)
        return database.grant(user, nodes, partitions, self._server.options.administrators)
