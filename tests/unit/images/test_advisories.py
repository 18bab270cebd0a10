"""Advisories of both forms: what is affected, what is not, and what is refused."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.advisories import Advisories, Finding
from ansible_collections.immutable.compose.plugins.module_utils.images.packages import from_store_paths
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Package

HASH = "0c0fmz9y1ypxkgm4x9rl6dv0w3pgmrm7"

#: The advisory as the cluster GLiCID had it: openpmix before 4.2.6, and 5.0.0.
PMIX = {
    "id": "CVE-2023-41915",
    "package": ["openpmix", "pmix", "libpmix2"],
    "versions": ["< 4.2.6", ">= 5.0.0 < 5.0.1"],
}


def nix(name: str) -> Package:
    (package,) = from_store_paths([f"/nix/store/{HASH}-{name}"])
    return package


def guix(name: str) -> Package:
    (package,) = from_store_paths([f"/gnu/store/{HASH}-{name}"])
    return package


def found(advisories: t.Any, *packages: Package) -> list[str]:
    return [finding.version for finding in Advisories(advisories).find(packages)]


@pytest.mark.parametrize(
    ("package", "affected"),
    [
        (guix("openpmix-4.2.2"), True),
        (guix("openpmix-4.2.5"), True),
        (guix("openpmix-4.2.6"), False),
        (guix("openpmix-4.2.10"), False),
        (guix("openpmix-5.0.0"), True),
        (guix("openpmix-5.0.1"), False),
        (nix("pmix-3.2.3"), True),
        (nix("pmix-5.0.0rc1"), True),
        (nix("pmix-5.0.3-dev"), False),
        (nix("pmix-tests-3.2.3"), False),
        (Package("libpmix2", "4.2.2-1+deb12u1"), True),
        (Package("libpmix2", "4.2.6-1"), False),
        (Package("libpmix-dev", "4.2.2-1"), False),
    ],
)
def test_openpmix(package: Package, affected: bool) -> None:
    assert found(PMIX, package) == ([package.version] if affected else [])


@pytest.mark.parametrize(
    ("versions", "version", "affected"),
    [
        ("< 7.2", "5:7.0.15-1~deb12u5", True),
        ("<= 7.0.15", "5:7.0.15-1", True),
        ("= 7.0.15", "5:7.0.15-1", True),
        ("< 7.0.15", "5:7.0.15-1", False),
        ("< 5:7.0.15-1~deb12u6", "5:7.0.15-1~deb12u5", True),
        ("< 7.0.15-1~deb12u5", "5:7.0.15-1~deb12u5", False),
        ("> 6:1", "5:7.0.15-1", False),
        ("<= 12.4", "12.4+deb12u5", False),
    ],
)
def test_upstream_numbers_fit_debian_versions(versions: str, version: str, affected: bool) -> None:
    advisory = {"id": "X", "package": "redis", "versions": versions}
    assert found(advisory, Package("redis", version)) == ([version] if affected else [])


def test_without_versions_every_version_is_affected() -> None:
    assert found({"id": "X", "package": "xz"}, nix("xz-5.6.1"), nix("xz-5.4.4-bin")) == ["5.4.4", "5.6.1"]


def osv(*ranges: t.Any, ecosystem: str = "Debian:12", name: str = "redis", **more: t.Any) -> dict[str, t.Any]:
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)} for events in ranges],
        **more,
    }
    return {"id": "DEBIAN-CVE-1", "schema_version": "1.7.3", "affected": [affected]}


@pytest.mark.parametrize(
    ("events", "affected"),
    [
        ([{"introduced": "0"}, {"fixed": "3"}], ["1", "2"]),
        ([{"introduced": "2"}, {"fixed": "3"}], ["2"]),
        ([{"fixed": "3"}, {"introduced": "2"}], ["2"]),
        ([{"introduced": "2"}], ["2", "3", "4"]),
        ([{"introduced": "0"}, {"last_affected": "3"}], ["1", "2", "3"]),
        ([{"introduced": "0"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], ["1", "3"]),
    ],
)
def test_events_of_osv(events: list[dict[str, str]], affected: list[str]) -> None:
    packages = [Package("redis", version) for version in ("1", "2", "3", "4")]
    assert found(osv(events), *packages) == affected


def test_osv_lists_versions_too() -> None:
    assert found(osv(versions=["1", "3"]), *(Package("redis", version) for version in ("1", "2", "3"))) == ["1", "3"]


def test_versions_of_osv_are_those_of_the_distribution() -> None:
    record = osv([{"introduced": "0"}, {"fixed": "5:7.0.15-1~deb12u6"}])
    assert found(record, Package("redis", "5:7.0.15-1~deb12u5")) == ["5:7.0.15-1~deb12u5"]
    assert found(record, Package("redis", "6:1-1")) == []
    assert found(record, nix("redis-7.0.15")) == []


def test_debian_advisories_name_source_packages() -> None:
    record = osv([{"introduced": "0"}])
    packages = Package("redis-server", "5:7.0.15-1", source="redis"), Package("redis-other", "1", source="other")
    assert Advisories(record).find(packages) == [Finding("DEBIAN-CVE-1", "redis-server", "5:7.0.15-1")]


def test_only_the_release_of_the_image_counts() -> None:
    record = osv([{"introduced": "0"}], ecosystem="Debian:13")
    redis = Package("redis", "5:7.0.15-1")
    assert found(record, redis, Package("base-files", "12.4+deb12u12")) == []
    assert found(record, redis, Package("base-files", "13.8+deb13u1")) == [redis.version]
    assert found(record, redis) == [redis.version]


def test_what_is_not_looked_for_is_said() -> None:
    advisories = Advisories([osv([{"introduced": "0"}], ecosystem="npm"), osv(), osv([{"introduced": "0"}])])
    assert advisories.ignored == [
        "DEBIAN-CVE-1 is not looked for: its ecosystem 'npm' is in no image",
        "DEBIAN-CVE-1 is not looked for: it names no versions",
    ]
    assert advisories.find([Package("redis", "1")]) == [Finding("DEBIAN-CVE-1", "redis", "1")]


def test_a_withdrawn_record_is_none() -> None:
    record = {**osv([{"introduced": "0"}]), "withdrawn": "2026-01-01T00:00:00Z"}
    assert found(record, Package("redis", "1")) == []


@pytest.mark.parametrize(
    ("advisories", "why"),
    [
        ("CVE-1", "advisories[0] is 'CVE-1'"),
        ([PMIX, {"package": "a"}], "advisories[1].id is None"),
        ({"id": "X"}, "advisories[0].package is None"),
        ({"id": "X", "package": []}, "advisories[0].package is []"),
        ({"id": "X", "pacakge": "a"}, "unknown key 'pacakge'"),
        ({"id": "X", "package": "a", "versions": 4.2}, "advisories[0].versions is 4.2"),
        ({"id": "X", "package": "a", "versions": "4.2"}, "'4.2' is not a range"),
        ({"id": "X", "package": "a", "versions": "< 4.2 or > 5"}, "is not a range"),
        ({"id": "X", "affected": {}}, "a list 'affected'"),
        ({"id": "X", "affected": [{"package": {"ecosystem": "Debian"}, "versions": ["1"]}]}, "KeyError: 'name'"),
    ],
)
def test_mistakes_are_refused(advisories: t.Any, why: str) -> None:
    with pytest.raises(InputError) as error:
        Advisories(advisories)
    assert why in str(error.value)
