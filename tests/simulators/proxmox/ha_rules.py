"""Rules of high availability: on which nodes resources run, and which of them together or apart."""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections import defaultdict

from .calls import Call, answers
from .errors import MODIFIED, ApiError
from .formats import split_list

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
#: Type of a rule → its options, and whether they may be removed.
OPTIONS: dict[str, dict[str, bool]] = {
    "node-affinity": {"resources": False, "nodes": False, "strict": True, "disable": True, "comment": True},
    "resource-affinity": {"resources": False, "affinity": False, "disable": True, "comment": True},
}


def remove_from_rules(data: Record, sid: str) -> None:
    """Takes a resource out of all rules; a rule without resources goes."""
    for name, rule in list(data["rules"].items()):
        left = [one for one in split_list(rule["resources"]) if one != sid]
        rule["resources"] = ",".join(left)
        if not left:
            del data["rules"][name]


def _digest(cluster: Cluster) -> str:
    return hashlib.sha1(json.dumps(cluster.ha.data["rules"], sort_keys=True).encode()).hexdigest()


def _resources(rule: Record) -> set[str]:
    return set(split_list(rule["resources"]))


def _nodes(rule: Record) -> dict[str, str]:
    """Node → priority."""
    return {one.partition(":")[0]: one.partition(":")[2] or "0" for one in split_list(rule.get("nodes"))}


def _infeasible(rules: Record, available: t.Collection[str]) -> dict[str, list[str]]:
    """Rule → why it cannot be kept, alone or with the others."""
    errors: dict[str, list[str]] = defaultdict(list)
    active = {name: rule for name, rule in sorted(rules.items()) if not int(rule.get("disable") or 0)}
    affine = {name: rule for name, rule in active.items() if rule["type"] == "node-affinity"}
    together = {name: rule for name, rule in active.items() if rule.get("affinity") == "positive"}
    apart = {name: rule for name, rule in active.items() if rule.get("affinity") == "negative"}
    for name, rule in affine.items():
        for sid in sorted(_resources(rule)):
            if any(sid in _resources(other) for key, other in affine.items() if key != name):
                errors[name].append(f"resource '{sid}' is already used in another node affinity rule")
    for name, rule in {**together, **apart}.items():
        if len(_resources(rule)) < 2:
            errors[name].append("rule is ineffective as there are less than two resources")
    for name, rule in apart.items():
        if len(_resources(rule)) > len(available):
            errors[name].append("rule defines more resources than available nodes")
        for other, second in together.items():
            if len(_resources(rule) & _resources(second)) > 1:
                shares = "rule shares two or more resources with a {} resource affinity rule"
                errors[name].append(shares.format("positive"))
                errors[other].append(shares.format("negative"))
    for name, rule in {**together, **apart}.items():
        _check_places(name, rule, affine, errors)
    return errors


def _check_places(name: str, rule: Record, affine: Record, errors: dict[str, list[str]]) -> None:
    """What is wrong with a rule about resources because of rules about their nodes."""
    paired = {key: other for key, other in affine.items() if _resources(other) & _resources(rule)}
    if any(len(set(_nodes(other).values())) > 1 for other in paired.values()):
        errors[name].append("resources are in node affinity rules with multiple priorities")
        for key in paired:
            errors[key].append(
                "resources are in a resource affinity rule and cannot be in a node affinity rule with multiple"
                " priorities"
            )
    if rule["affinity"] == "positive" and len(paired) > 1:
        errors[name].append("resources are in multiple node affinity rules")
        for key in paired:
            errors[key].append(
                "at least one resource is in a positive resource affinity rule and there are other resources in at"
                " least one other node affinity rule already"
            )
    located = {sid for other in paired.values() for sid in _resources(other) & _resources(rule)}
    allowed = {node for other in paired.values() for node in _nodes(other)}
    if rule["affinity"] == "negative" and len(allowed) < len(located):
        errors[name].append("two or more resources are restricted to less nodes than available to the resources")
        for key in paired:
            errors[key].append(
                "at least one resource is in a negative resource affinity rule and this rule would restrict these to"
                " less nodes than available to the resources"
            )


def _check(cluster: Cluster, given: Record) -> None:
    """Dies when resources or nodes are named that are not there."""
    if "resources" in given:
        unknown = sorted(_resources(given) - set(cluster.ha.data["resources"]))
        if unknown:
            raise ApiError(f"cannot use unmanaged resource(s) {', '.join(unknown)}.")
    if "nodes" in given:
        missing = sorted(set(_nodes(given)) - set(cluster.options.nodes))
        if missing:
            raise ApiError(f"cannot use non-existent node(s) {', '.join(missing)}.")


def _store(cluster: Cluster, name: str, rule: Record, failed: str) -> None:
    """Keeps a rule, unless it cannot be kept."""
    rules = {**cluster.ha.data["rules"], name: rule}
    # Only a running manager knows nodes.
    available = cluster.options.nodes if cluster.options.ha_seconds is not None else []
    reasons = _infeasible(rules, available).get(name)
    if reasons:
        error = ApiError(f"Rule '{name}' is invalid.", 400, {"resources": ", ".join(reasons)})
        raise ApiError(f"{failed}: {error}")
    cluster.ha.change(lambda data: data.update(rules=rules))


def _shown(cluster: Cluster, name: str) -> Record:
    rules = cluster.ha.data["rules"]
    if name not in rules:
        raise ApiError(f"no such ha rule '{name}'")
    return {"rule": name, "digest": _digest(cluster), "order": list(rules).index(name) + 1, **rules[name]}


@answers("GET /cluster/ha/rules")
def rules(cluster: Cluster, call: Call) -> list[Record]:
    """All rules, or those of a type or a resource."""
    found = [_shown(cluster, name) for name in cluster.ha.data["rules"]]
    found = [rule for rule in found if call.get("type") in (None, rule["type"])]
    return [rule for rule in found if call.get("resource") is None or call.get("resource") in _resources(rule)]


@answers("GET /cluster/ha/rules/{rule}")
def read(cluster: Cluster, call: Call) -> Record:
    """One rule."""
    return _shown(cluster, str(call.get("rule")))


@answers("POST /cluster/ha/rules")
def add(cluster: Cluster, call: Call) -> None:
    """A new rule."""
    cluster.check_quorum()
    name, failed = str(call.get("rule")), "create ha rule failed"
    if name in cluster.ha.data["rules"]:
        raise ApiError(f"{failed}: HA rule '{name}' already defined")
    given = call.rest("rule")
    try:
        _check(cluster, given)
    except ApiError as error:
        raise ApiError(f"{failed}: {error}") from None
    _store(cluster, name, given, failed)


@answers("PUT /cluster/ha/rules/{rule}")
def change(cluster: Cluster, call: Call) -> None:
    """Changes a rule."""
    name, failed = str(call.get("rule")), "update HA rules failed"
    given, removed = call.rest("rule", "type", "digest", "delete"), split_list(call.get("delete"))
    if call.get("digest") and call.get("digest") != _digest(cluster):
        raise ApiError(f"{failed}: {MODIFIED}")
    if name not in cluster.ha.data["rules"]:
        raise ApiError(f"{failed}: HA rule '{name}' does not exist")
    rule = dict(cluster.ha.data["rules"][name])
    known = OPTIONS[rule["type"]]
    try:
        _check(cluster, given)
        for key in given:
            if key not in known:
                raise ApiError(f"unexpected property '{key}'")
        for key in removed:
            if key not in known:
                raise ApiError(f"no such option '{key}'")
            if not known[key]:
                raise ApiError(f"unable to delete required option '{key}'")
            if key in given:
                raise ApiError(f"cannot set and delete property '{key}' at the same time!")
            rule.pop(key, None)
    except ApiError as error:
        raise ApiError(f"{failed}: {error}") from None
    _store(cluster, name, {**rule, **given}, failed)


@answers("DELETE /cluster/ha/rules/{rule}")
def remove(cluster: Cluster, call: Call) -> None:
    """Removes a rule, if it is there."""
    cluster.ha.change(lambda data: data["rules"].pop(str(call.get("rule")), None))
