# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Advisories: which versions of which packages are affected by something known. PRIVATE to the collection.

Two forms are read, also mixed in one list:

* an object of three keys: ``id``; ``package``, a name or several; ``versions``, a range or several, such as
  ``"< 4.2.6"`` or ``[">= 5.0.0 < 5.0.1", "= 4.9"]`` (all conditions of a range must hold; default: every version);
* an OSV record (https://ossf.github.io/osv-schema/) for an ecosystem whose packages images have.
"""

from __future__ import annotations

import functools
import operator
import re
import typing as t
from dataclasses import dataclass

from ..errors import SHOWN, InputError, shown
from ..model.image import Package
from .versions import Compare, compare_debian, compare_guix, compare_nix, split_debian

#: Distribution of a package → how its versions compare.
COMPARE: t.Mapping[str, Compare] = {
    "debian": compare_debian,
    "nix": compare_nix,
    "guix": compare_guix,
    "generic": compare_debian,
}
#: OSV ecosystem, up to the first colon and in lower case → distribution.
ECOSYSTEMS = {"debian": "debian", "nix": "nix", "nixpkgs": "nix", "nixos": "nix", "guix": "guix"}

OPERATORS: t.Mapping[str, t.Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_CONDITION = re.compile(r"(<=|>=|<|>|=)\s*([^\s,<>=]+)[\s,]*")

#: Conditions (operator, version) that must all hold.
Range = tuple[tuple[str, str], ...]


@dataclass(frozen=True, order=True)
class Finding:
    """A package that an advisory is about."""

    advisory: str
    package: str
    version: str


@dataclass(frozen=True)
class Advisory:
    """One reason to look for packages of some names."""

    id: str
    names: tuple[str, ...]
    #: Affected is what is in any of these; an empty range has all versions.
    ranges: tuple[Range, ...]
    #: Only packages of this distribution, whose own version numbers the ranges have; empty: of any, upstream's numbers.
    distribution: str = ""
    #: Only of this release of the distribution (``12``); empty: of any.
    release: str = ""

    def affects(self, package: Package, release: str) -> bool:
        """Whether it is about this package, whose name is right.

        :param release: of the distribution that the image is of; empty where unknown.
        """
        distribution = distribution_of(package)
        if self.distribution and self.distribution != distribution:
            return False
        if self.release and release and self.release != release:
            return False
        compare = COMPARE[distribution]
        if compare is compare_debian and not self.distribution:
            compare = _compare_upstream
        return any(
            all(OPERATORS[sign](compare(package.version, bound), 0) for sign, bound in range_) for range_ in self.ranges
        )


class Advisories:
    """Many advisories, found by package name.

    :param data: one advisory of either form, or a list of them.
    :raises InputError: says which entry and key is wrong.
    """

    def __init__(self, data: t.Any) -> None:
        #: What is in ``data`` but is not looked for, in words.
        self.ignored: list[str] = []
        self._by_name: dict[str, list[Advisory]] = {}
        self._known: dict[tuple[Package, str], list[Finding]] = {}
        for number, entry in enumerate(data if isinstance(data, list) else [data]):
            where = f"advisories[{number}]"
            if not isinstance(entry, t.Mapping):
                raise InputError(f"{where} is {shown(entry)}, expected an object")
            read = self._read_osv if "affected" in entry or "schema_version" in entry else _read_plain
            for advisory in read(entry, where):
                for name in advisory.names:
                    self._by_name.setdefault(name, []).append(advisory)

    def find(self, packages: t.Iterable[Package]) -> list[Finding]:
        """Affected packages of an image. A Debian package is looked for by its own name and that of its source."""
        packages = tuple(packages)
        release = debian_release(packages)
        return sorted({finding for package in packages for finding in self._about(package, release)})

    def unnamed(self, packages: t.Iterable[Package]) -> list[Package]:
        """Those of no distribution that no advisory of everybody's names: that none is about them says nothing."""
        return [
            each
            for each in packages
            if each.sha256 and all(advisory.distribution for advisory in self._by_name.get(each.name, ()))
        ]

    def _about(self, package: Package, release: str) -> list[Finding]:
        """Findings in one package; remembered, because images have most packages in common."""
        key = (package, release)
        if key not in self._known:
            self._known[key] = [
                Finding(advisory.id, package.name, package.version)
                for name in {package.name, package.source} - {""}
                for advisory in self._by_name.get(name, ())
                if advisory.affects(package, release)
            ]
        return self._known[key]

    def _read_osv(self, record: t.Mapping[str, t.Any], where: str) -> t.Iterator[Advisory]:
        id_ = record.get("id")
        if not isinstance(id_, str) or not isinstance(record.get("affected"), list):
            raise InputError(f"{where}: an OSV record has a string 'id' and a list 'affected'")
        if record.get("withdrawn"):
            return
        try:
            for affected in record["affected"]:
                ecosystem = str(affected.get("package", {}).get("ecosystem", ""))
                name, _colon, release = ecosystem.partition(":")
                distribution = ECOSYSTEMS.get(name.lower())
                ranges = [*_osv_ranges(affected, distribution)] if distribution else []
                if distribution and ranges:
                    yield Advisory(id_, (str(affected["package"]["name"]),), tuple(ranges), distribution, release)
                else:
                    why = (
                        f"its ecosystem {shown(ecosystem)} is in no image"
                        if not distribution
                        else "it names no versions"
                    )
                    self.ignored.append(f"{id_} is not looked for: {why}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{where} ({id_[:SHOWN]}) is not a valid OSV record: {type(error).__name__}: {error}"
            ) from None


def debian_release(packages: t.Iterable[Package]) -> str:
    """Release of Debian that an image has, by its ``base-files`` (``12.4+deb12u12`` → ``12``); empty if none."""
    bases = (package for package in packages if package.name == "base-files" and not package.path)
    return next((base.version.partition(".")[0] for base in bases), "")


def distribution_of(package: Package) -> str:
    """``debian``, ``nix`` or ``guix``, by where the package is; ``generic`` for what somebody has made."""
    if package.sha256:
        return "generic"
    if not package.path:
        return "debian"
    return "guix" if "/gnu/" in package.path else "nix"


def _read_plain(entry: t.Mapping[str, t.Any], where: str) -> t.Iterator[Advisory]:
    unknown = sorted(set(entry) - {"id", "package", "versions"})
    if unknown:
        raise InputError(f"{where}: unknown key {shown(unknown[0])}; expected id, package, versions, or an OSV record")
    id_ = entry.get("id")
    if not isinstance(id_, str) or not id_:
        raise InputError(f"{where}.id is {shown(id_)}, expected a name such as 'CVE-2023-41915'")
    names = _strings(entry.get("package"), f"{where}.package", "a package name or a list of them")
    ranges = _strings(entry.get("versions", [""]), f"{where}.versions", "a range such as '< 4.2.6' or a list of them")
    yield Advisory(id_, tuple(names), tuple(_range(text, f"{where}.versions") for text in ranges))


def _strings(value: t.Any, where: str, expected: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
        raise InputError(f"{where} is {shown(value)}, expected {expected}")
    return values


def _range(text: str, where: str) -> Range:
    if _CONDITION.sub("", text).strip():
        raise InputError(f"{where}: {shown(text)} is not a range; expected conditions such as '>= 5.0.0 < 5.0.1'")
    return tuple(_CONDITION.findall(text))


def _osv_ranges(affected: t.Mapping[str, t.Any], distribution: str) -> t.Iterator[Range]:
    for version in affected.get("versions", ()):
        yield (("=", version),)
    key = functools.cmp_to_key(COMPARE[distribution])
    for range_ in affected.get("ranges", ()):
        if range_["type"] == "GIT":
            continue
        # ``0`` is before all versions.
        events = [(kind, str(version)) for event in range_["events"] for kind, version in event.items()]
        events.sort(key=lambda event: (event[1] != "0", key(event[1])))
        begin: Range | None = None
        for kind, version in events:
            if kind == "introduced" and begin is None:
                begin = () if version == "0" else ((">=", version),)
            elif kind in ("fixed", "last_affected") and begin is not None:
                yield (*begin, ("<" if kind == "fixed" else "<=", version))
                begin = None
        if begin is not None:
            yield begin


def _compare_upstream(version: str, bound: str) -> int:
    """Compare a Debian version with one that may be upstream's: only as far as that goes."""
    epoch, upstream, revision = split_debian(version)
    bound_epoch, _upstream, bound_revision = split_debian(bound)
    compared = f"{epoch}:{upstream}" if bound_epoch and epoch else upstream
    return compare_debian(f"{compared}-{revision}" if bound_revision and revision else compared, bound)
