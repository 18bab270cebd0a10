"""Options of the whole cluster: which numbers new VMs get, which tags may be set."""

from __future__ import annotations

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
        rules = self.parts("user-tag-access")
        allow = rules.get("user-allow", "free")
        allowed = set(split_list(rules.get("user-allow-list"))) if allow != "none" else set()
        if allow == "existing":
            for vmid, tags in others:
                allowed |= set(split_list(tags)) if access.may(user, f"/vms/{vmid}", ["VM.Audit"]) else set()
        privileged = set(split_list(self.texts().get("registered-tags")))
        for tag in sorted(changed):
            if tag in privileged or (allow != "free" and tag not in allowed):
                raise permission_error(f"/, Sys.Modify for modifying tag '{tag}'")


@answers("GET /cluster/options")
def options(cluster: Cluster, call: Call) -> Record:
    """The options, or what everybody may know of them."""
    found = cluster.datacenter.all()
    if cluster.access.may(call.user, "/", ["Sys.Audit"]):
        return found
    return {key: found[key] for key in ("console", "tag-style") if key in found}


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
