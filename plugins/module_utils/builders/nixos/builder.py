# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``nixos`` builder: NixOS configurations, whatever tool they were written for. PRIVATE to the collection.

``nix/nixos`` makes images of them; this file decides what is asked of Nix. The identity of an image is the name of its
system in the store, which running nodes have as ``/run/current-system``. It depends on how the system boots, and so on
the formats: those of one of :data:`TOGETHER` have the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t
from contextlib import contextmanager
from dataclasses import replace

from ...describe.attributes import Attributes, RoleAttributes, roles_of
from ...describe.load import source_digest
from ...describe.options import Option
from ...describe.role_schema import check_composition
from ...errors import EvaluationError, InputError
from ...images.image import read_image
from ...model.composition import Composition
from ...model.free import Json, Options, Parameters
from ...model.image import Image, PlannedImage
from ...progress import Progress
from ..base import Builder
from ..nix.log import BuildLog
from ..nix.nix import NIX_OPTIONS, Nix, settings_of
from ..revision import git_revision
from .source import Evaluated, Source, find_source, of_composition

#: Formats of the same system, as ``nix/nixos/images.nix`` has them.
TOGETHER = (
    frozenset({"root", "oci"}),
    frozenset({"root", "kernel", "initrd", "raw", "qcow2"}),
    frozenset({"kexec"}),
    frozenset({"tar"}),
    frozenset({"iso"}),
    frozenset({"vma"}),
)


class Nixos(Builder):
    """See :class:`Builder`."""

    name = "nixos"
    gives_back = True
    options = {
        **NIX_OPTIONS,
        "source": Option(
            str,
            "",
            "File with the NixOS configurations, below the directory of the composition. By default the first of "
            "C(composition.nix), C(hive.nix), C(flake.nix) and C(default.nix) that there is.",
        ),
        "output": Option(
            str,
            "",
            "Output of a flake with the configurations, where it has both.",
            choices=("nixosConfigurations", "colmena"),
        ),
        "nixpkgs": Option(
            str,
            "",
            "Nixpkgs to build with, instead of what the composition pins: a directory, the URL of an archive, or a "
            "flake reference. Not for configurations that a flake or an expression has evaluated itself.",
        ),
        "system": Option(
            str,
            "",
            "System to build for, for example C(aarch64-linux), where a configuration does not say it itself. By "
            "default that of the builder host.",
        ),
    }

    def __init__(
        self, support: str, progress: Progress, given: Options | None = None, *, trusted: bool = False
    ) -> None:
        super().__init__(support, progress, given, trusted=trusted)
        #: What :meth:`_described` has found, by what it was asked and the content of the directory.
        self._known: dict[str, Attributes] = {}

    @property
    def _nix(self) -> Nix:
        # Flakes are read with a function of the language, not only by newer commands.
        features = {"extra-experimental-features": "nix-command flakes"}
        return Nix(self.progress, {**settings_of(self), **features}, own_caches=True)

    @property
    def _file(self) -> str:
        return os.path.join(self.support, "nixos/default.nix")

    def _source(self, path: str) -> Source:
        """The NixOS configurations of a directory. :raises InputError: there are none."""
        source = find_source(path, self.option("source"))
        if source.form != "expression" or source.beside():
            return source
        arguments = self._arguments(source, {})
        try:  # compositions and hives may have any name
            form = self._nix.evaluate(str, self._file, "formOf", arguments, within=self.within(source.directory))
        except EvaluationError:  # configurations may take what a composition cannot have
            return source
        return replace(source, form=form)

    def _arguments(
        self,
        source: Source,
        parameters: Parameters,
        roles: t.Mapping[str, RoleAttributes] | None = None,
        only: t.Sequence[str] = (),
        formats: t.Sequence[str] = (),
    ) -> dict[str, str]:
        return {
            "directory": source.directory,
            "source": source.form,
            "file": source.argument,
            "parameters": json.dumps(parameters),
            "nixpkgs": self.option("nixpkgs"),
            "output": self.option("output"),
            "system": self.option("system"),
            "roles": json.dumps(roles or {}),
            "only": json.dumps(list(only)),
            "formats": json.dumps(sorted(formats)),
        }

    def _described(self, source: Source, parameters: Parameters) -> Attributes:
        """Roles, counts and checks. No role is looked into."""
        key = json.dumps([source.file, source_digest(source.directory), dict(parameters)], sort_keys=True)
        if key not in self._known:
            self._known[key] = self._read(source, parameters)
        return self._known[key]

    def _read(self, source: Source, parameters: Parameters) -> Attributes:
        arguments = self._arguments(source, parameters)
        within = self.within(source.directory)
        with _about(source.file, self.untrusted(source.directory) if within else ""):
            if source.form == "composition":
                evaluated = self._nix.evaluate(Evaluated, self._file, "evaluation", arguments, within=within)
                return source.checked(of_composition(evaluated, source.file))
            beside = source.beside()
            if "roles" in beside:
                roles = beside["roles"] or {}
                if isinstance(roles, t.Mapping):  # a name alone is a role without ports and volumes
                    roles = {role: fields or {} for role, fields in roles.items()}
                return source.checked({**beside, "roles": roles})
            roles = self._nodes(arguments, within)
        check_composition({"roles": roles}, source.file, self.name)
        return source.checked({**beside, "roles": roles})

    def _nodes(self, arguments: t.Mapping[str, str], within: t.Sequence[str]) -> dict[str, Json]:
        """The configurations, with what they say of themselves to an inventory."""

        def told(attribute: str) -> dict[str, Json]:
            return self._nix.evaluate(
                dict[str, Json], self._file, attribute, arguments, store=self.trusted, within=within
            )

        try:
            return told("described")
        except EvaluationError:  # it may depend on what only Nixpkgs knows
            if not self.trusted:
                raise
            return told("describedWhole")

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        source = self._source(path)
        described = self._described(source, parameters)
        chosen = {name: self.option(name) for name in ("nixpkgs", "output", "system")}
        made_of = [described, dict(parameters), chosen, source_digest(source.directory)]
        return Composition(
            name=source.name,
            builder=self.name,
            path=os.path.abspath(path),
            digest=hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest(),
            roles=roles_of(described),
            distribution=described.get("rolesDistribution", {}),
            test_script=str(described.get("testScript", "")),
            revision=git_revision(source.directory, self.progress.say),
            lock=_lock_digest(source),
        )

    def _wanted(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> tuple[Source, dict[str, str]]:
        """Arguments for what needs the whole configuration of roles."""
        source = self._source(path)
        described = self._described(source, parameters)
        return source, self._arguments(source, parameters, described["roles"], roles, formats)

    def _planned(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, PlannedImage]:
        """The image of each role. Evaluates the configurations, unless that is known already."""
        _check_formats(formats)
        what = [source_digest(path), source_digest(self.support), dict(parameters), self._given, sorted(formats)]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        known = {role: self.evaluated[key] for role in roles if (key := f"{digest} {role}") in self.evaluated}
        if known and not self._nix.is_valid([image.derivation for image in known.values()]):
            known = {}  # somebody has collected garbage
        missing = [role for role in roles if role not in known]
        if missing:
            source, arguments = self._wanted(path, parameters, missing, formats)
            with _about(source.file):
                found = self._nix.evaluate(
                    dict[str, PlannedImage], self._file, "images", arguments, store=True, writes=True
                )
            self.evaluated.update({f"{digest} {role}": image for role, image in found.items()})
            known.update(found)
        return {role: known[role] for role in roles}

    def identify(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        return {role: image.identity for role, image in self._planned(path, parameters, roles, formats).items()}

    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        planned = self._planned(path, parameters, roles, formats)
        todo = [image.derivation for image in planned.values() if not self._nix.is_valid([image.output])]
        if todo:
            log = BuildLog(self.progress, _label)
            self._nix.realise(todo, log, log.describe)
        paths = {role: image.output for role, image in planned.items()}
        self._nix.push(list(paths.values()), self.option("push_to"), self.option("signing_key"))
        images = {}
        for role, path_ in paths.items():
            images[role] = read_image(path_)
            self._nix.add_root(os.path.join(roots, images[role].identity), path_)
        return images

    def is_built(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, bool]:
        planned = self._planned(path, parameters, roles, formats)
        return {role: self._nix.is_valid([image.output]) for role, image in planned.items()}

    def check_reproducible(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        _check_formats(formats)
        source, arguments = self._wanted(path, parameters, roles, formats)
        found = {}
        for role in roles:
            with _about(source.file):
                parts = self._nix.instantiate(self._file, [f'parts."{role}"'], arguments, nixpkgs=True)
            log = BuildLog(self.progress, lambda derivation: f"again: {_label(derivation)}")
            found[role] = self._nix.rebuild(parts, log, log.describe)
        return found


def _check_formats(formats: t.Sequence[str]) -> None:
    known = frozenset().union(*TOGETHER)
    lacking = [format_ for format_ in formats if format_ not in known]
    if lacking:
        raise InputError(
            f"the builder 'nixos' makes no image in format {', '.join(lacking)}: it has "
            f"{', '.join(sorted(known))}; use a platform that takes one of these"
        )
    if not any(set(formats) <= together for together in TOGETHER):
        groups = "; ".join(", ".join(sorted(together)) for together in TOGETHER)
        raise InputError(
            f"formats {', '.join(formats)}: an image of the builder 'nixos' has only formats that are the same "
            f"system, build the others on their own; together go: {groups}"
        )


@contextmanager
def _about(file: str, remedy: str = "") -> t.Iterator[None]:
    """What does not evaluate is said with the file of the composition.

    :param remedy: what to do, should it be for want of trust.
    """
    try:
        yield
    except EvaluationError as error:
        explained = EvaluationError("\n".join(filter(None, [f"{file} does not evaluate:", error.message, remedy])))
        explained.failure = error.failure
        raise explained from None


def _lock_digest(source: Source) -> str | None:
    """Digest of flake.lock; ``None`` without one."""
    try:
        with open(os.path.join(source.directory, "flake.lock"), "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except FileNotFoundError:
        return None


def _label(derivation: str) -> str:
    """A derivation as users know it: ``build server-root``."""
    return "build " + re.sub(r"^[a-z0-9]{32}-|\.drv$", "", os.path.basename(derivation))
