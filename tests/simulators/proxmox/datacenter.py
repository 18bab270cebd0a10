"""Options of the whole cluster: which numbers new VMs get, which tags may be set."""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

from .access import Access
from .calls import Call, answers
from .errors import ApiError, permission_error
from .formats import Properties, split_list
from .schema import parse_properties

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
LOWEST, HIGHEST = 100, 1000000


class Datacenter:
    """``etc/datacenter.json``: option → its text."""

    def __init__(self, state: Path, options: Properties) -> None:
        self._path = state / "etc" / "datacenter.json"
        self._options = options

    def texts(self) -> dict[str, str]:
        """What is set."""
        found: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return found

    def write(self, texts: dict[str, str]) -> None:
        """Replaces all options."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(texts, indent=1))
        temporary.replace(self._path)

    def parts(self, key: str, text: str | None = None) -> dict[str, str]:
        """The keys of an option that is a property string."""
        text = self.texts().get(key, "") if text is None else text
        return parse_properties(self._options[key]["format"], text)

    def all(self) -> Record:
        """All options, taken apart."""
        result: Record = {"mac_prefix": "BC:24:11", **self.texts()}
        for key in result.keys() & self._options.keys():
            if isinstance(self._options[key].get("format"), dict):
                result[key] = self.parts(key)
        if "registered-tags" in result:
            result["registered-tags"] = split_list(result["registered-tags"])
        return result

    def numbers(self, text: str | None = None) -> tuple[int, int]:
        """The lowest number of a new VM, and the first that is too high."""
        parts = self.parts("next-id", text)
        return int(parts.get("lower", LOWEST)), int(parts.get("upper", HIGHEST))

    def unique_tags(self, text: str | None) -> str:
        """Tags once, in lower case and sorted, unless the style is another one."""
        style = self.parts("tag-style")
        tags = split_list(text)
        if style.get("ordering") != "config":
            tags = sorted(tags, key=str if style.get("case-sensitive") == "1" else str.lower)
        if style.get("case-sensitive") != "1":
            tags = [tag.lower() for tag in tags]
        return ";".join(dict.fromkeys(tags))

    def check_tags(
        self, access: Access, user: str, old: str | None, new: str | None, others: t.Iterable[tuple[int, str]]
    ) -> None:
        """Dies when the user may not give or take a tag.

        :param others: tags of all VMs
        """
        changed = set(split_list(old)) ^ set(split_list(new))
        if access.may(user, "/", ["Sys.Modify"]):
            return
        free = self.parts("user-tag-access").get("user-allow", "free") == "free"
        refused = changed & self._registered if free else changed - self.allowed_tags(access, user, others)
        for tag in sorted(refused):
            raise permission_error(f"/, Sys.Modify for modifying tag '{tag}'")

    @property
    def _registered(self) -> set[str]:
        """Tags for administrators."""
        return set(split_list(self.texts().get("registered-tags")))

    def allowed_tags(self, access: Access, user: str, others: t.Iterable[tuple[int, str]]) -> set[str]:
        """Tags that are known to the user, who may give them."""
        rules, privileged = self.parts("user-tag-access"), access.may(user, "/", ["Sys.Modify"])
        allow = rules.get("user-allow", "free")
        found = set(split_list(rules.get("user-allow-list"))) if allow != "none" or privileged else set()
        if allow in ("free", "existing") or privileged:
            for vmid, tags in others:
                seen = privileged or access.may(user, f"/vms/{vmid}", ["VM.Audit"])
                found |= set(split_list(tags)) if seen else set()
        return found | self._registered if privileged else found - self._registered


def tags_of_all(cluster: Cluster) -> t.Iterator[tuple[int, str]]:
    """VM → its tags."""
    for vmid, node in cluster.files.find().items():
        with contextlib.suppress(ApiError):  # it may be gone by now
            yield vmid, str(cluster.files.load(node, vmid).values.get("tags") or "")


@answers("GET /cluster/options")
def options(cluster: Cluster, call: Call) -> Record:
    """The options, or what everybody may know of them."""
    found = cluster.datacenter.all()
    if not cluster.access.may(call.user, "/", ["Sys.Audit"]):
        found = {key: found[key] for key in ("console", "tag-style") if key in found}
    known = cluster.datacenter.allowed_tags(cluster.access, call.user, tags_of_all(cluster))
    return {**found, "allowed-tags": sorted(known)}


@answers("PUT /cluster/options")
def change(cluster: Cluster, call: Call) -> None:
    """Sets and removes options."""
    given = {key: str(value) for key, value in call.rest("delete").items() if value is not None}
    if "next-id" in given:
        lower, upper = cluster.datacenter.numbers(given["next-id"])
        if lower > upper:
            raise ApiError(f"lower ({lower}) <= upper ({upper}) boundary rule broken")
    removed = split_list(call.get("delete"))
    texts = {**cluster.datacenter.texts(), **given}
    cluster.datacenter.write({key: text for key, text in texts.items() if key not in removed})
