# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``guix`` builder: operating systems in Scheme, one file for each role. PRIVATE to the collection.

The identity of a role is the base name of its system in the store: what ``/run/current-system`` of a running node leads
to. It is taken from the derivation of the image itself, for Guix changes an operating system on its way into an image:
the root file system's UUID is put in, containers have no kernel.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import typing as t
from dataclasses import replace

from ...describe.load import source_digest
from ...describe.options import Option
from ...errors import ComposeError, EvaluationError, Failure, InputError, nearest
from ...files import write_text
from ...images.bundle import write_bundle
from ...images.numbers import read_numbers
from ...images.packages import from_store_paths
from ...model.answer import json_of
from ...model.composition import Composition
from ...model.free import Options, Parameters
from ...model.image import ARCHITECTURES, SYSTEM_LINK, Image, PlannedImage
from ...process import need
from ...progress import Progress
from ..base import Builder
from ..failures import with_failure
from ..revision import git_revision
from .command import Guix
from .composition import GuixComposition, read_composition, scheme

CHANNELS_FILE = "channels.scm"
ACL = "/etc/guix/acl"
#: File in the system that says which numbers its users and groups have.
NUMBERS = "compose-numbers"

#: Format → type of ``guix system image``.
TYPES = {"qcow2": "qcow2", "raw": "mbr-raw", "tar": "tarball", "oci": "docker", "iso": "iso9660"}
#: The same of machines, and systems, that boot by UEFI.
EFI_TYPES = {**TYPES, "qcow2": "qcow2-gpt", "raw": "efi-raw"}
#: Formats that are a file system, which can be left untouched below a volatile one.
DISKS = frozenset({"qcow2", "raw"})


class GuixBuilder(Builder):
    """See :class:`Builder`."""

    name = "guix"
    how_to_number = (
        "give users and groups the numbers that they had, by (user-account … (uid NUMBER)) and "
        "(user-group … (id NUMBER)) in the file of the role"
    )
    options = {
        "channels": Option(
            str,
            "",
            "Channel file, relative to the composition, that pins the Guix to evaluate with. By default "
            "C(channels.scm) where there is one; else the Guix of the builder host is used as it is.",
        ),
        "load_path": Option(
            list, ["."], "Directories, relative to the composition, with Scheme modules that roles share."
        ),
        "substitute_urls": Option(
            list, [], "Servers to fetch what is built already from, instead of the daemon's own."
        ),
        "substitute_keys": Option(
            list,
            [],
            "Files, relative to the composition, with the public keys of these servers. Nothing is built unless the "
            "builder host has authorized them.",
        ),
        "target": Option(str, "", "Build for another architecture: a triplet, such as C(aarch64-linux-gnu)."),
        "grafts": Option(
            bool,
            True,
            "Put security updates into the packages of an image. Guix has to fetch or build packages before it knows "
            "what an image will be.",
        ),
        "daemon_socket": Option(
            str,
            "",
            "The daemon of a dedicated build server, as E(GUIX_DAEMON_SOCKET) says it; its store is mounted here.",
        ),
        "timeout": Option(int, 0, "Seconds that one build may take; 0 is no limit."),
        "max_silent_time": Option(int, 0, "Seconds that one build may be silent; 0 is no limit."),
    }

    def __init__(
        self, support: str, progress: Progress, given: Options | None = None, *, trusted: bool = False
    ) -> None:
        super().__init__(support, progress, given, trusted=trusted)
        #: Compositions, by what :meth:`_read` was asked and the content of the directory: programs take seconds.
        self._known: dict[str, GuixComposition] = {}

    # -- reading -------------------------------------------------------------------------------------------------

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        composition = self._read(path, parameters)
        channels = self._channels(composition.path)
        return Composition(
            name=composition.name,
            builder=self.name,
            path=composition.path,
            digest=self._digest(composition, parameters),
            roles=composition.roles,
            distribution=composition.attributes.get("rolesDistribution", {}),
            test_script=composition.test_script,
            revision=git_revision(composition.path, self.progress.say),
            lock=hashlib.sha256(_content(channels).encode()).hexdigest() if channels else None,
        )

    def _digest(self, composition: GuixComposition, parameters: Parameters) -> str:
        """Of all that images and checks are made of, as far as it is known without evaluating operating systems."""
        channels = self._channels(composition.path)
        meant = {
            "attributes": composition.attributes,
            "test script": composition.test_script,
            "parameters": parameters,
            "options": {name: self.option(name) for name in ("target", "grafts")},
            "channels": _content(channels) if channels else "",
            "sources": [
                source_digest(composition.path),
                source_digest(os.path.join(self.support, "guix")),
                *map(source_digest, self._load_path(composition.path)),
            ],
        }
        return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()

    def _read(self, path: str, parameters: Parameters) -> GuixComposition:
        def program(name: str, file: str) -> t.Any:
            if not self.trusted:  # nothing keeps a program in Scheme from running others
                message = f"{file} is a program, which reading the inventory would run. {self.untrusted(path)}"
                raise EvaluationError(message)
            modules = os.path.join(self.support, "guix")
            guix = Guix(self.progress, "", "", json.dumps(parameters))
            own = [word for directory in self._load_path(os.path.abspath(path)) for word in ("-L", directory)]
            said = guix.evaluate(os.path.join(modules, "compose", name), "-L", modules, *own, file)
            return json_of(said, f"Guix: value of {file}")

        key = json.dumps([os.path.abspath(path), dict(parameters), source_digest(path)], sort_keys=True)
        if key not in self._known:
            self._known[key] = read_composition(path, program)
        return self._known[key]

    def _channels(self, path: str) -> str:
        """The channel file; empty if there is none."""
        given: str = self.option("channels")
        file = os.path.join(path, given or CHANNELS_FILE)
        if not os.path.isfile(file):
            if given:
                raise InputError(f"option channels of builder 'guix': there is no file {file}")
            return ""
        if "(commit" not in _content(file):
            raise InputError(
                f"{file} pins no commit, so it may mean another Guix tomorrow: give each channel a (commit …), as "
                "`guix describe -f channels` prints it, or write it with the playbook lock"
            )
        return file

    def _load_path(self, path: str) -> list[str]:
        directories = [os.path.normpath(os.path.join(path, each)) for each in self.option("load_path")]
        for directory in directories:
            if not os.path.isdir(directory):
                raise InputError(f"option load_path of builder 'guix': there is no directory {directory}")
        return directories

    def _guix(self, composition: GuixComposition, parameters: Parameters) -> Guix:
        need("guix")
        setup = json.dumps(parameters, sort_keys=True)
        return Guix(self.progress, self._channels(composition.path), self.option("daemon_socket"), setup)

    # -- what an image will be -----------------------------------------------------------------------------------

    def _image_arguments(self, composition: GuixComposition, role: str, format_: str) -> list[str]:
        volumes = [
            f"({' '.join(map(scheme, (name, each.mount, each.user, each.group, each.mode, each.keep)))})"
            for name, each in sorted(composition.roles[role].volumes.items())
        ]
        target: str = self.option("target")
        machine = target.split("-")[0] or platform.machine()
        types = TYPES if machine in ("x86_64", "i686") else EFI_TYPES
        arguments = ["-t", types[format_], "-L", os.path.join(self.support, "guix")]
        for directory in self._load_path(composition.path):
            arguments += ["-L", directory]
        if format_ in DISKS:
            arguments.append("--volatile")
        if target:
            arguments.append(f"--target={target}")
        # Which of both it is to be on x86, the boot loader of the system says.
        efi = f" {scheme(EFI_TYPES[format_])}" if format_ in DISKS and types is TYPES else ""
        expression = f"((@ (compose role) role) {composition.system(role)} '({' '.join(volumes)}){efi})"
        return [*arguments, *self._build_arguments(), "-e", expression]

    def _build_arguments(self) -> list[str]:
        arguments = [] if self.option("grafts") else ["--no-grafts"]
        if self.option("substitute_urls"):
            arguments.append(f"--substitute-urls={' '.join(self.option('substitute_urls'))}")
        for option in ("timeout", "max_silent_time"):
            if self.option(option):
                arguments.append(f"--{option.replace('_', '-')}={self.option(option)}")
        return arguments

    def _plan(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> tuple[GuixComposition, Guix, dict[str, dict[str, PlannedImage]]]:
        """The derivations of the images: role → format → image. Evaluates the operating systems."""
        composition = self._read(path, parameters)
        _check_formats(formats)
        for role in roles:
            if role not in composition.roles:
                raise InputError(f"{composition.path} has no role {role!r}{nearest(role, composition.roles)}")
        guix = self._guix(composition, parameters)
        digest = self._digest(composition, parameters)
        planned: dict[str, dict[str, PlannedImage]] = {}
        for role in roles:
            planned[role] = {}
            for format_ in formats:
                key = f"{digest} {role} {format_}"
                known = self.evaluated.get(key)
                if known is None or not os.path.exists(known.derivation):  # somebody has collected garbage
                    known = self.evaluated[key] = self._evaluated(composition, guix, role, format_)
                planned[role][format_] = known
            if len({each.identity for each in planned[role].values()}) > 1:
                raise InputError(
                    f"role {role!r}: in the formats {', '.join(formats)}, Guix makes images of different systems; ask "
                    "for one of them at a time"
                )
        return composition, guix, planned

    def _evaluated(self, composition: GuixComposition, guix: Guix, role: str, format_: str) -> PlannedImage:
        try:
            arguments = self._image_arguments(composition, role, format_)
            derivation = guix.image_derivation(f"evaluate {role}", composition.directory(role), *arguments)
        except EvaluationError as error:
            told = EvaluationError(f"{composition.where(role)} does not evaluate:\n{error.message}")
            told.failure = _located(error.failure, composition.path)
            raise told from None
        systems = [each for each in guix.closure(derivation) if each.endswith("-system.drv")]
        if len(systems) != 1:
            raise ComposeError(f"{derivation} is made of {len(systems)} systems, expected 1")
        identity = os.path.basename(guix.output(systems[0]))
        return PlannedImage(identity, derivation, guix.output(derivation), systems[0])

    def identify(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        planned = self._plan(path, parameters, roles, formats)[-1]
        return {role: next(iter(images.values())).identity for role, images in planned.items()}

    # -- building ------------------------------------------------------------------------------------------------

    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        composition, guix, planned = self._plan(path, parameters, roles, formats)
        self._check_keys(composition)
        os.makedirs(roots, exist_ok=True)
        self._build_together(guix, planned)
        built = {}
        for role, images in planned.items():
            first = next(iter(images.values()))
            for format_, image in images.items():
                root = os.path.join(roots, f"{image.identity}+{format_}")
                if os.path.realpath(root) == image.output and guix.is_valid(image.output):
                    continue
                if os.path.lexists(root):
                    os.unlink(root)
                guix.realise(f"build {role}", [image.derivation], f"--root={root}", *self._build_arguments())
            bundle = os.path.join(roots, first.identity)
            files = {format_: image.output for format_, image in images.items()}
            built[role] = write_bundle(bundle, self._describe(composition, guix, role, first), files)
        return built

    def _build_together(self, guix: Guix, planned: t.Mapping[str, t.Mapping[str, PlannedImage]]) -> None:
        """Build what is missing at the same time."""
        missing = {
            image.derivation: role
            for role, images in planned.items()
            for image in images.values()
            if not guix.is_valid(image.output)
        }
        if len(missing) > 1:
            jobs = f"--max-jobs={min(len(missing), os.cpu_count() or 1)}"
            roles = ", ".join(dict.fromkeys(missing.values()))
            guix.realise(f"build {roles}", list(missing), jobs, *self._build_arguments())

    def _describe(self, composition: GuixComposition, guix: Guix, role: str, image: PlannedImage) -> Image:
        # Where the image was fetched, the store need not have the system that is in it.
        guix.realise(f"build {role}: system", [image.system], *self._build_arguments())
        machine = self.option("target").split("-")[0] or platform.machine()
        return Image(
            role=role,
            builder=self.name,
            identity=image.identity,
            architecture=ARCHITECTURES.get(machine, machine),
            formats={},
            packages=from_store_paths(guix.closure(guix.output(image.system))),
            volumes=composition.roles[role].volumes,
            numbers=read_numbers(_content(os.path.join(guix.output(image.system), NUMBERS))),
            identity_file=SYSTEM_LINK,
        )

    def _check_keys(self, composition: GuixComposition) -> None:
        """Refuse substitute servers that the daemon would not believe: it builds everything itself then, for hours."""
        keys = [os.path.join(composition.path, key) for key in self.option("substitute_keys")]
        authorized = re.sub(r"\s", "", _content(ACL)).lower() if os.path.exists(ACL) else ""
        for key in keys:
            if not os.path.isfile(key):
                raise InputError(f"option substitute_keys of builder 'guix': there is no file {key}")
            point = re.search(r"\(q\s+#([0-9A-Fa-f\s]+)#", _content(key))
            if point is None:
                raise InputError(f"{key} is not a public key of Guix: expected (public-key (ecc (curve …) (q #…#)))")
            number = re.sub(r"\s", "", point[1]).lower()
            if f"#{number}#" not in authorized:
                message = f"{key} is not authorized on this host; run: guix archive --authorize < {key}"
                raise with_failure(InputError(message), Failure("cache-unsigned", "guix", message))

    def is_built(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, bool]:
        dummy, guix, planned = self._plan(path, parameters, roles, formats)
        return {role: all(guix.is_valid(image.output) for image in images.values()) for role, images in planned.items()}

    def lock(self, path: str, parameters: Parameters, write: bool = True) -> tuple[str, str, str]:
        """Write the channel file for the Guix of this host, as ``guix pull`` left it."""
        composition = self._read(path, parameters)
        need("guix")
        file = os.path.join(composition.path, self.option("channels") or CHANNELS_FILE)
        old = _content(file) if os.path.exists(file) else ""
        new = Guix(self.progress, "", self.option("daemon_socket"), "{}").channels()
        if "(commit" not in new:
            raise InputError(
                "the Guix of this host does not know its own commit, as with one that a distribution packaged: run "
                "`guix pull`, and then lock again"
            )
        if write and new != old:
            write_text(file, new, mode=0o644)
        return file, old, new

    def check_reproducible(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        dummy, guix, planned = self._plan(path, parameters, roles, formats)
        found = {}
        for role, images in planned.items():
            texts = [
                guix.rebuild(f"again: build {role}", image.derivation, *self._build_arguments())
                for image in images.values()
            ]
            found[role] = "; ".join(filter(None, texts))
        return found


def _check_formats(formats: t.Sequence[str]) -> None:
    lacking = [format_ for format_ in formats if format_ not in TYPES]
    if lacking:
        raise InputError(
            f"the builder 'guix' makes no image in format {', '.join(lacking)}: it has {', '.join(sorted(TYPES))}; "
            "use a platform that takes one of these"
        )


def _located(failure: Failure | None, directory: str) -> Failure | None:
    """Guix names files as it found them: relative to the composition, where they are in it."""
    if failure is None or not failure.file:
        return failure
    return replace(failure, file=os.path.join(directory, failure.file))


def _content(file: str) -> str:
    with open(file, encoding="utf-8") as stream:
        return stream.read()
