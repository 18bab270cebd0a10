# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``nxc`` builder: projects of NixOS Compose, as they are. PRIVATE to the collection.

The identity of a role is the base name of its system in the Nix store: what ``/run/current-system`` of a running node
leads to. It is in the text of ``compose-info.json``, which Nixpkgs writes into the derivation of that file: known once
the flake is evaluated, before anything is built. Where the file is made by a program instead, it has to be built.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

from ...describe.names import label_of
from ...describe.options import Option
from ...errors import CommandError, ComposeError, EvaluationError, InputError, nearest
from ...files import write_json
from ...images.bundle import write_bundle
from ...images.packages import from_store_paths
from ...model.answer import Word
from ...model.composition import Composition, Distribution, Role
from ...model.free import Json, Parameters
from ...model.image import ARCHITECTURES, SYSTEM_LINK, Image, NixosCompose
from ...temporary import TemporaryDirectory
from ..base import Builder
from ..failures import nix_failure, with_failure
from ..nix.log import BuildLog
from ..nix.nix import BUILD_TIMEOUT, NIX_OPTIONS, Nix, NixBuildError, settings_of
from ..revision import git_revision
from .flavours import check_formats, flavour_for
from .info import Built, ComposeInfo, read_compose_info
from .project import Project, container_ports
from .setup import Setup

T = t.TypeVar("T")

#: Name of the one composition of a project, as ``nxc.lib.compose`` has it.
ONLY = "composition"

#: Characters of a store path's base name before the name.
HASH = len("5gz8x1k7gqz9ykhrb8wr2qh8kpvy3cwc")


@dataclass(frozen=True)
class _Told:
    """A composition, as nix/nxc/evaluation.nix tells it."""

    roles: list[str]
    rolesDistribution: dict[str, Distribution]  # pylint: disable=invalid-name
    testScript: str  # pylint: disable=invalid-name
    dockerPorts: dict[str, list[Word]]  # pylint: disable=invalid-name


@dataclass(frozen=True)
class _Known:
    """A composition, as far as it is known without building it."""

    name: str
    roles: t.Sequence[str]
    distribution: t.Mapping[str, Distribution]
    test_script: str
    docker_ports: t.Mapping[str, t.Sequence[Word]]


class Nxc(Builder):
    """See :class:`Builder`."""

    name = "nxc"
    options = {
        "composition": Option(str, "", "Which one of the compositions of a project that has several."),
        "flavour": Option(
            str,
            "",
            "Flavour of NixOS Compose: C(vm), C(vm-ramdisk), C(docker), C(nspawn), C(g5k-ramdisk), C(g5k-nfs-store), "
            "C(g5k-image), or one of the project's own. By default the one that suits the platform.",
        ),
        "variant": Option(str, "", "Variant of C(setup.toml), as C(nxc build --setup). By default what it selects."),
        "tool": Option(str, "nix", "What builds: C(nix), or C(nxc), the program of NixOS Compose."),
        **NIX_OPTIONS,
    }

    @property
    def _nix(self) -> Nix:
        return Nix(self.progress, settings_of(self), own_caches=True)

    # -- the project ---------------------------------------------------------------------------------------------

    def _tool(self) -> str:
        tool: str = self.option("tool")
        if tool not in ("nix", "nxc"):
            raise InputError(f"option tool of builder 'nxc' is {tool!r}, expected 'nix' or 'nxc'")
        if tool == "nxc" and shutil.which("nxc") is None:
            raise InputError(
                "option tool of builder 'nxc' is 'nxc', but there is no program nxc; pip install nixos-compose, or "
                "leave the option out"
            )
        return tool

    def _ask(self, type_: type[T], project: Project, attribute: str, parameters: Parameters, flavour: str = "") -> T:
        """An attribute of nix/nxc/evaluation.nix."""
        arguments = {
            "file": project.file,
            "flake": project.flake,
            "name": ONLY,
            "flavour": flavour or self._flavour(project, Setup(), ()),
            "parameters": json.dumps(parameters),
            "setupFile": project.setup_file,
            "variant": self.option("variant"),
        }
        within = self.within(project.directory)
        file = os.path.join(self.support, "nxc/evaluation.nix")
        return self._nix.evaluate(type_, file, attribute, arguments, within=within)

    def _project(self, path: str) -> Project:
        """The project in a directory. :raises InputError: there is none."""
        project = Project.find(path)
        try:
            declared = self._ask(str, project, "declared", {})
        except EvaluationError as error:
            if "syntax error" in error.message:
                raise EvaluationError(f"{project.flake} does not evaluate:\n{error.message}") from None
            declared = ""  # it takes more than stand-ins
        return project.saying(declared)

    def _setup(self, project: Project, parameters: Parameters) -> Setup:
        """Content of setup.toml as the flake would merge it."""
        if not project.setup_file:
            if parameters or self.option("variant"):
                raise InputError(
                    f"{project.directory} has no setup.toml, so there is no variant and no parameter that a build "
                    "could change: remove 'setup' and 'variant', or add setup.toml to the project"
                )
            return Setup()
        try:
            setup = self._ask(dict[str, Json], project, "setup", parameters)
        except EvaluationError as error:
            raise InputError(f"{project.setup_file}: {error.message}") from None
        return Setup.read(setup, project.setup_file)

    def _flavour(self, project: Project, setup: Setup, formats: t.Sequence[str]) -> str:
        return flavour_for(formats, self.option("flavour") or setup.flavour, project.default_flavour)

    @contextmanager
    def _prepared(self, project: Project, setup: Setup, parameters: Parameters) -> t.Iterator[Project]:
        """The project with its setup in effect: itself, or a copy where that takes another setup.toml."""
        variant, uses_nxc = self.option("variant"), self._tool() == "nxc"
        if not (variant or parameters or uses_nxc):
            yield project
            return
        with TemporaryDirectory("nxc") as directory:
            copy = project.copy_to(directory)
            if project.setup_file:
                setup.write(os.path.join(copy.directory, "setup.toml"))
            if uses_nxc:  # what it would put there itself, and so change the source between evaluation and build
                os.makedirs(os.path.join(copy.directory, "build"), exist_ok=True)
                config = os.path.join(copy.directory, "nxc.json")
                if not os.path.exists(config):
                    write_json(config, {"composition": os.path.basename(copy.file), "default_flavour": "vm"})
            yield copy

    # -- what is known before a build ----------------------------------------------------------------------------

    def _known(self, project: Project, parameters: Parameters) -> _Known:
        self._setup(project, parameters)
        try:
            found = self._ask(dict[str, _Told], project, "compositions", parameters)
        except EvaluationError as error:
            if not self.trusted:
                raise EvaluationError(
                    f"{project.file} does not evaluate without its flake:\n{error.message}\n"
                    f"{self.untrusted(project.directory)}"
                ) from None
            self.progress.say(f"{project.file} needs more than stand-ins; evaluating the flake of {project.directory}")
            return self._known_from_flake(project, parameters, error)
        name = self._choose(project, found)
        known = found[name]
        return _Known(name, known.roles, known.rolesDistribution, known.testScript, known.dockerPorts)

    def _known_from_flake(self, project: Project, parameters: Parameters, error: EvaluationError) -> _Known:
        """The same from the flake itself, which needs its inputs, Nixpkgs among them."""
        name = self.option("composition") or ONLY
        setup = self._setup(project, parameters)
        with self._prepared(project, setup, parameters) as prepared:
            try:
                derivation, info = self._info(prepared, setup, name, self._flavour(project, setup, ()))
                script = self._reader(derivation)(info.test_script) if info.test_script else ""
            except ComposeError as full:
                raise EvaluationError(
                    f"{project.file} does not evaluate without its flake:\n{error.message}\nand not with it:\n"
                    f"{full.message}"
                ) from None
        return _Known(name, list(info.roles), info.distribution, script, {})

    def _choose(self, project: Project, found: t.Mapping[str, object]) -> str:
        wanted: str = self.option("composition")
        if wanted and wanted not in found:
            raise InputError(f"{project.file} has no composition {wanted!r}{nearest(wanted, found)}")
        if not wanted and len(found) != 1:
            raise InputError(
                f"{project.file} has the compositions {', '.join(sorted(found))}; choose one with the builder's "
                "option composition"
            )
        return wanted or next(iter(found))

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        project = self._project(path)
        known = self._known(project, parameters)
        flavour = self._flavour(project, self._setup(project, parameters), ())
        published = known.docker_ports if flavour == "docker" else {}
        directory = os.path.dirname(project.directory) if path.endswith("/nxc") else os.path.abspath(path)
        name = label_of(os.path.basename(directory) if known.name == ONLY else known.name)
        lock = project.lock_digest()
        revision = git_revision(project.directory, self.progress.say)
        choice = [self.option(name) for name in ("composition", "flavour", "variant")]
        meaning = json.dumps([project.digest(), known.test_script, dict(parameters), choice], sort_keys=True)
        return Composition(
            name=re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
            builder=self.name,
            path=os.path.abspath(path),
            digest=hashlib.sha256(meaning.encode()).hexdigest(),
            roles={role: Role(role, ports=container_ports(published.get(role, ()))) for role in known.roles},
            distribution=known.distribution,
            test_script=known.test_script,
            revision=revision,
            lock=lock,
        )

    # -- compose-info --------------------------------------------------------------------------------------------

    def _derivation(self, prepared: Project, setup: Setup, name: str, flavour: str) -> str:
        """Path of the derivation of compose-info.json."""
        attribute = f'packages.{platform.machine()}-linux."{name}::{flavour}".drvPath'
        command = ("eval", "--raw", f"{prepared.directory}#{attribute}", "--no-write-lock-file", *setup.nix_flags)
        try:
            with self.progress.waiting(lambda: f"evaluating {name}::{flavour}"):
                return self._nix.command(*command).stdout.strip()
        except CommandError as error:
            explained = EvaluationError(f"{prepared.directory}: {name}::{flavour} does not evaluate:\n{error}")
            explained.failure = error.failure
            raise explained from None

    def _info(self, prepared: Project, setup: Setup, name: str, flavour: str) -> tuple[str, ComposeInfo]:
        """Derivation and content of compose-info.json, of which nothing is built if it is plain text."""
        derivation = self._derivation(prepared, setup, name, flavour)
        text = self._nix.text_of(derivation)
        if text is None:
            text = self._content(self._realise(derivation, f"{name}::{flavour}"))
        read = self._reader(derivation)
        return derivation, read_compose_info(text, name, f"compose-info.json of {name}::{flavour}", read)

    def _reader(self, derivation: str) -> t.Callable[[str], str]:
        """What reads store files that a derivation refers to, built or not, if their text is known without a build."""
        inputs = self._nix.references(derivation)

        def read(path: str) -> str:
            for maker in inputs:
                if maker.endswith(f"{os.path.basename(path)[HASH:]}.drv") and path in self._nix.outputs([maker]):
                    text = self._nix.text_of(maker)
                    if text is not None:
                        return text
            return self._content(path)

        return read

    def _realise(self, derivation: str, what: str) -> str:
        log = BuildLog(self.progress, lambda path: f"build {_name(path)}")
        try:
            return self._nix.realise([derivation], log, log.describe)[0]
        except NixBuildError as error:
            error.step = error.step or f"build {what}"
            raise

    def _content(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.read()
        except OSError as error:
            raise ComposeError(f"{path}: cannot be read: {error}") from None

    @contextmanager
    def _evaluated(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> t.Iterator[tuple[Project, str, ComposeInfo, Setup]]:
        check_formats(formats)
        project = self._project(path)
        known = self._known(project, parameters)
        setup = self._setup(project, parameters)
        flavour = self._flavour(project, setup, formats)
        # A copy of the project is removed when it is collected, if not before.
        # pylint: disable-next=contextmanager-generator-missing-cleanup
        with self._prepared(project, setup, parameters) as prepared:
            derivation, info = self._info(prepared, setup, known.name, flavour)
            for role in roles:
                if role not in info.roles:
                    raise InputError(f"{known.name}::{flavour} has no role {role!r}{nearest(role, info.roles)}")
            yield prepared, derivation, info, setup

    def identify(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        with self._evaluated(path, parameters, roles, formats) as (_project, _derivation, info, _setup):
            return {role: info.roles[role].identity for role in roles}

    # -- builds --------------------------------------------------------------------------------------------------

    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        with self._evaluated(path, parameters, roles, formats) as (project, derivation, info, setup):
            what = f"{info.composition}::{info.flavour}"
            if self._tool() == "nxc":
                made = self._build_by_nxc(project, what)
                if [made] != self._nix.outputs([derivation]):
                    raise ComposeError(f"nxc built {made} for {what}, which is not what its flake evaluates to")
            else:
                made = self._realise(derivation, what)
        self._nix.push([made], self.option("push_to"), self.option("signing_key"))
        return {role: self._bundle(role, info, made, setup.kernel_params, roots) for role in roles}

    def _build_by_nxc(self, project: Project, what: str) -> str:
        """Let nxc build in a copy of the project; returns what its link leads to."""
        namespace = f"{project.directory}#packages.{platform.machine()}-linux"
        command = ["nxc", "-d", project.directory, "build", "-C", what, "-N", namespace, project.file]
        try:
            with self.progress.waiting(lambda: f"nxc build -C {what}"):
                self._nix.wrapped(command, timeout=BUILD_TIMEOUT, cwd=project.directory)
        except CommandError as error:
            raise with_failure(error, nix_failure(error.output)) from None
        return os.path.realpath(os.path.join(project.directory, "build", what))

    def _bundle(self, role: str, info: ComposeInfo, made: str, cmdline: str, roots: str) -> Image:
        built: Built = info.roles[role]
        closure = self._nix.closure([built.system]) if self._nix.is_valid([built.system]) else []
        image = Image(
            role=role,
            builder=self.name,
            identity=built.identity,
            architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
            formats={},
            cmdline=cmdline,
            packages=from_store_paths(closure),
            identity_file=SYSTEM_LINK,
            handover=NixosCompose(
                kind="nxc",
                flavour=info.flavour,
                composition=info.composition,
                compositions_info_path=info.compositions_info_path,
                compose_info=made,
                system=built.system,
                all=info.common,
                service=built.service,
            ),
        )
        bundle = write_bundle(os.path.join(roots, image.identity), image, built.files)
        # Of what is in the bundle, which may be older than what was just built: the same system, another image around.
        self._nix.add_root(os.path.join(bundle.bundle, "compose-info.json"), bundle.handover.compose_info)
        return bundle

    def is_built(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, bool]:
        with self._evaluated(path, parameters, roles, formats) as (_project, derivation, _info, _setup):
            built = self._nix.is_valid(self._nix.outputs([derivation]))
        return dict.fromkeys(roles, built)

    def check_reproducible(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        with self._evaluated(path, parameters, roles, formats) as (_project, derivation, info, _setup):
            self._realise(derivation, f"{info.composition}::{info.flavour}")
        found = {}
        for role in roles:
            files = [*info.roles[role].files.values(), info.roles[role].system]
            log = BuildLog(self.progress, lambda path: f"again: {_name(path)}")
            found[role] = self._nix.rebuild(sorted(set(self._nix.derivers(files))), log, log.describe)
        return found


def _name(path: str) -> str:
    """Of a derivation, as users know it."""
    return os.path.basename(path)[HASH + 1 :].removesuffix(".drv")
