# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking apt, in a private root, which packages a set of names stands for. PRIVATE to the collection.

The packages of this host play no part: apt sees an empty system, and the Debian archives that this host's apt uses.
"""

from __future__ import annotations

import glob
import os
import re
import typing as t
from dataclasses import dataclass, replace
from urllib.parse import unquote

from ...errors import InputError, nearest
from ...process import Completed, need, run
from ...progress import Progress
from .own import OwnPackage, Package

#: Archives by the name they have in a lock → suites, with "{}" for the code name.
ARCHIVES = {"debian": ("{}", "{}-updates"), "debian-security": ("{}-security",)}

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

#: Seconds for fetching package lists, and for one question to apt.
UPDATE_TIMEOUT = 300
QUERY_TIMEOUT = 60


@dataclass(frozen=True)
class _Source:
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]


def _one_line_sources(text: str) -> t.Iterator[_Source]:
    """sources.list(5), one-line style."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if match:
            yield _Source((match[1],), (match[2],), tuple(match[3].split()))


def _deb822_sources(text: str) -> t.Iterator[_Source]:
    """sources.list(5), deb822 style."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields: dict[str, list[str]] = {}
        key = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                fields.setdefault(key, []).extend(line.split())
            elif ":" in line:
                key, dummy, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.split()
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            yield _Source(
                tuple(fields.get("uris", [])), tuple(fields.get("suites", [])), tuple(fields.get("components", []))
            )


def configured_mirrors(etc: str = "/etc/apt") -> dict[str, str]:
    """Archive → base URL, of the Debian archives that this host's apt uses.

    An archive is told by its suites and its component ``main``, and by "debian" in its URL.

    :raises InputError: apt knows no Debian archive.
    """
    sources: list[_Source] = []
    for path in [os.path.join(etc, "sources.list"), *sorted(glob.glob(os.path.join(etc, "sources.list.d", "*")))]:
        parse = {".list": _one_line_sources, ".sources": _deb822_sources}.get(os.path.splitext(path)[1])
        if parse is not None and os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as stream:
                sources.extend(parse(stream.read()))
    mirrors: dict[str, str] = {}
    for source in sources:
        if "main" not in source.components:
            continue
        for uri in source.uris:
            if "debian" not in uri or not re.match(r"(https?|file)://?", uri):
                continue
            security = any(suite.endswith(("-security", "/updates")) for suite in source.suites)
            mirrors.setdefault("debian-security" if security else "debian", uri.rstrip("/"))
    if "debian" not in mirrors:
        raise InputError(
            f"no Debian archive (component main, http, https or file) is configured for apt in {etc}: write one into "
            f"{etc}/sources.list.d, or build on a host with Debian 12 or newer, which 'compose_host' names"
        )
    return mirrors


class PrivateApt:
    """apt with a root of its own below ``directory``, which must exist and be empty."""

    def __init__(
        self, directory: str, suite: str, architecture: str, mirrors: t.Mapping[str, str], progress: Progress
    ) -> None:
        need("apt-get", "apt-cache")
        self._mirrors = mirrors
        self._progress = progress
        self._suite = suite
        self._records: dict[str, Package] = {}
        self._names: set[str] = set()
        for part in (
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "state/lists/partial",
            "cache/archives/partial",
        ):
            os.makedirs(os.path.join(directory, part))
        self._status = os.path.join(directory, "status")
        with open(self._status, "w", encoding="utf-8"):
            pass
        with open(os.path.join(directory, "etc/apt/sources.list"), "w", encoding="utf-8") as stream:
            for archive, suites in ARCHIVES.items():
                for pattern in suites if archive in mirrors else ():
                    stream.write(f"deb [signed-by={KEYRING}] {mirrors[archive]} {pattern.format(suite)} main\n")
        self._options = [
            f"-oDir::Etc={directory}/etc/apt",
            f"-oDir::State={directory}/state",
            f"-oDir::State::status={self._status}",
            f"-oDir::Cache={directory}/cache",
            # Container images tell apt to keep none; without them each question takes a second.
            "-oDir::Cache::pkgcache=pkgcache.bin",
            "-oDir::Cache::srcpkgcache=srcpkgcache.bin",
            f"-oAPT::Architecture={architecture}",
            f"-oAPT::Architectures::={architecture}",
            "-oAPT::Sandbox::User=root",
            "-oAPT::Get::List-Cleanup=false",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=2",
            "-oAcquire::http::Timeout=30",
            "-oAcquire::https::Timeout=30",
        ]

    def _apt(self, program: str, *arguments: str, timeout: float = QUERY_TIMEOUT) -> str:
        return self._run(program, *arguments, timeout=timeout).stdout

    def _run(self, program: str, *arguments: str, timeout: float = QUERY_TIMEOUT, check: bool = True) -> Completed:
        command = [program, *self._options, *arguments]
        return run(command, timeout=timeout, check=check, env={"LC_ALL": "C.UTF-8"})

    def update(self) -> None:
        """Fetch the package lists. :raises CommandError: with apt's own words."""
        with self._progress.waiting(lambda: f"lock: fetching the package lists of {self._suite}"):
            self._apt("apt-get", "update", "-qq", "-oAPT::Update::Error-Mode=any", timeout=UPDATE_TIMEOUT)

    def check_names(self, names: t.Iterable[str], where: str) -> None:
        """Refuse a package that the archives do not have. :raises InputError: names it, and the nearest one."""
        if not self._names:
            self._names = set(self._apt("apt-cache", "pkgnames").split())
        for name in names:
            if name not in self._names:
                alike = [other for other in self._names if other[:2] == name[:2]]
                suggestion = nearest(name, alike)
                raise InputError(
                    f"{where}: the package {name!r} does not exist in Debian {self._suite}"
                    + (suggestion if "did you mean" in suggestion else "")
                )

    def closure(self, names: t.Sequence[str], where: str, own: t.Sequence[OwnPackage] = ()) -> dict[str, Package]:
        """The named packages with all that they depend on, by name. Recommended packages are left out.

        :param own: files that are packages.
        :raises InputError: they cannot be installed together; with apt's own words.
        """
        install = ["apt-get", "install", "--print-uris", "-q", "--yes", "--no-install-recommends"]
        wanted = [*names, *(each.path for each in own)]
        done = self._run(*install, *wanted, check=False)
        if done.returncode != 0:
            unmet = done.stdout.partition("unmet dependencies:\n")[2]
            raise InputError(f"{where}: apt cannot resolve {' '.join(wanted)}:\n{unmet}{done.stderr.strip()}")
        files = {each.name: each.package for each in own}
        places: dict[str, tuple[str, str, str]] = {}
        for line in done.stdout.splitlines():
            match = re.match(r"'(\S+)' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb ", line)
            if match and match[2] not in files:
                places[match[2]] = (unquote(match[3]), *self._place(match[1]))
        unknown = sorted(name for name in places if name not in self._records)
        if unknown:
            self._read_records([f"{name}={places[name][0]}" for name in unknown])
        lost = sorted(places.keys() - self._records.keys())
        if lost:
            raise InputError(f"{where}: apt-cache does not show {lost[0]!r}, which apt-get would install")
        found = {
            name: replace(self._records[name], archive=archive, filename=filename)
            for name, (dummy, archive, filename) in places.items()
        }
        return {**found, **files}

    def _place(self, uri: str) -> tuple[str, str]:
        """Archive and path in the archive of a URL that apt would fetch."""
        for archive, mirror in self._mirrors.items():
            if uri.startswith(mirror + "/"):
                return archive, unquote(uri[len(mirror) + 1 :])
        raise InputError(f"apt would take {uri}, which is in none of {', '.join(self._mirrors.values())}")

    def _read_records(self, wanted: t.Sequence[str]) -> None:
        """Learn version, size and hash of packages given as ``name=version``: the same in every archive."""
        for paragraph in self._apt("apt-cache", "show", *wanted).split("\n\n"):
            fields = dict(re.findall(r"(?m)^(Package|Version|Architecture|Size|SHA256): (.*)$", paragraph))
            if fields.keys() >= {"Package", "Version", "Architecture", "Size", "SHA256"} and fields["Size"].isdecimal():
                self._records[fields["Package"]] = Package(
                    version=fields["Version"],
                    architecture=fields["Architecture"],
                    archive="",
                    filename="",
                    size=int(fields["Size"]),
                    sha256=fields["SHA256"],
                )
