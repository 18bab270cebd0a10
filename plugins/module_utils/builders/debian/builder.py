# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``debian`` builder: Debian packages, put together to images by Nix. PRIVATE to the collection.

``nix/debian`` describes the images as derivations; this file decides what is asked of Nix, and says in the user's
terms what went wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
import typing as t
from dataclasses import replace
from urllib.parse import quote

from ...describe.attributes import roles_of
from ...describe.names import is_host_name, label_of
from ...describe.role_schema import check_composition
from ...errors import CommandError, ComposeError, EvaluationError, InputError
from ...files import write_text
from ...images.image import read_image
from ...images.numbers import read_numbers
from ...model import codec
from ...model.answer import answer
from ...model.composition import Composition
from ...model.free import Json, Parameters
from ...model.image import ARCHITECTURES, Image
from ...model.lock import Lock
from ...model.numbers import Numbers
from ...process import need, run
from ...temporary import TemporaryDirectory
from ..base import Builder
from ..differences import listed
from ..nix.log import BuildLog
from ..nix.nix import DOWNLOADS, NIX_OPTIONS, Nix, NixBuildError, settings_of
from ..nix.own_store import OwnStore
from ..revision import git_revision
from .apt import configured_mirrors
from .evaluated import Evaluated, located
from .failures import HASH, explain_failure, failed_without_a_word, others_than_locked
from .labels import Labels
from .lock import (
    Content,
    Locked,
    lock_path,
    lock_text,
    make_lock,
    number,
    read_lock,
)
from .own import COMPOSITION

#: Formats that this builder makes.
FORMATS = ("root", "kernel", "initrd", "raw", "qcow2", "tar", "oci", "installed", "network")
#: Formats that a role without a kernel does not have.
KERNEL_FORMATS = frozenset({"kernel", "initrd", "raw", "qcow2", "installed", "network"})
#: What builds need whatever the user's nix.conf says: they mount file systems and set owners.
REQUIRED = {"sandbox": "false", "filter-syscalls": "false", "allow-import-from-derivation": "false"}

#: Space that a build takes for each byte of its packages: in the store, and in the directory for builds.
STORE_FACTOR, BUILD_FACTOR = 3, 8


class Debian(Builder):
    """See :class:`Builder`."""

    name = "debian"
    options = NIX_OPTIONS
    gives_back = True

    @property
    def _nix(self) -> Nix:
        settings = {**settings_of(self), **REQUIRED, "build-users-group": ""}
        return Nix(self.progress, settings, own_store=_own_store())

    @property
    def _file(self) -> str:
        return os.path.join(self.support, "debian/default.nix")

    def _arguments(
        self,
        path: str,
        parameters: Parameters,
        formats: t.Sequence[str] = (),
        mirrors: t.Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        lacking = [format_ for format_ in formats if format_ not in FORMATS]
        if lacking:
            raise InputError(
                f"the builder 'debian' makes no image in format {', '.join(lacking)}: it has {', '.join(FORMATS)}"
            )
        lock = lock_path(path)
        return {
            "composition": path,
            "name": label_of(os.path.basename(path)),
            "lock": lock if os.path.exists(lock) else "",
            "parameters": json.dumps(parameters),
            "mirrors": json.dumps({**(mirrors or {}), COMPOSITION: f"file://{quote(path)}"}),
            "formats": json.dumps(sorted(formats)),
        }

    def _evaluated(self, path: str, parameters: Parameters, formats: t.Sequence[str] = ()) -> Evaluated:
        path = os.path.abspath(path)
        file = os.path.join(path, "composition.nix")
        if not os.path.isfile(file):
            raise InputError(f"{file} is missing: it is what makes a directory a composition of the builder 'debian'")
        name = label_of(os.path.basename(path))
        if not is_host_name(name):
            raise InputError(
                f"{path}: the directory's name names the images; use letters, digits and dashes, at most 63"
            )
        lock = read_lock(path)
        try:
            evaluated = self._nix.evaluate(
                dict[str, Json],
                self._file,
                "evaluation",
                self._arguments(path, parameters, formats),
                within=self.within(path),
            )
        except EvaluationError as error:
            said = f"{file} does not evaluate:\n{error.message}"
            if "restricted mode" in error.message:
                said += f"\n{self.untrusted(path)}"
            raise EvaluationError(said) from None
        identities, paths = (
            answer(dict[str, t.Optional[str]], evaluated.pop(what, None), f"Nix: {what} of {file}")
            for what in ("identities", "paths")
        )
        attributes = located(path, check_composition(evaluated, file, self.name))
        return Evaluated(path, name, attributes, identities, paths, lock)

    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        evaluated = self._evaluated(path, parameters)
        attributes = evaluated.attributes
        roles = {}
        for name, role in roles_of(attributes).items():
            locked = not evaluated.stale(name)
            roles[name] = replace(
                role,
                identity=evaluated.identities[name] if locked else None,
                bootable=attributes["roles"][name].get("kernel") is not None,
                packages=evaluated.versions(name) if locked else {},
                own=evaluated.own(name) if locked else {},
                numbers=evaluated.numbers(name) if locked else Numbers(),
            )
        meaning = {**attributes, "identities": evaluated.identities}
        digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
        return Composition(
            name=evaluated.name,
            builder=self.name,
            path=evaluated.path,
            digest=digest,
            roles=roles,
            distribution=attributes.get("rolesDistribution", {}),
            test_script=str(attributes.get("testScript", "")),
            revision=git_revision(evaluated.path, self.progress.say),
            lock=evaluated.locked.digest if evaluated.locked else None,
        )

    def identify(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        evaluated = self._evaluated(path, parameters)
        evaluated.check_lock(roles)
        return {role: str(evaluated.identities[role]) for role in roles}

    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        evaluated = self._evaluated(path, parameters, formats)
        lock = evaluated.check_lock(roles)
        for role in roles:
            lacking = sorted(KERNEL_FORMATS.intersection(formats)) if evaluated.wanted(role).kernel is None else []
            if lacking:
                raise InputError(f"roles.{role} has no kernel, so there is no image in format {', '.join(lacking)}")
        paths = evaluated.bundles(roles)
        todo = [role for role in roles if not self._nix.is_valid([paths[role]])]
        if todo:
            mirrors = self._check_host()
            arguments = self._arguments(evaluated.path, parameters, formats, mirrors)
            attributes = [f'images."{role}".{what}' for what in ("bundle", "layer") for role in todo]
            instantiated = self._nix.instantiate(self._file, attributes, arguments, within=self.within(evaluated.path))
            derivations, layers = instantiated[: len(todo)], dict(zip(todo, instantiated[len(todo) :]))
            try:
                self._realise(evaluated, lock, derivations, layers, mirrors)
            except NixBuildError as error:
                raise explain_failure(error, lock.packages, mirrors) from None
        self._nix.push([paths[role] for role in roles], self.option("push_to"), self.option("signing_key"))
        images = {}
        for role in roles:
            images[role] = read_image(self._nix.file(paths[role]))
            self._nix.add_root(os.path.join(roots, images[role].identity), paths[role])
        return images

    def _check_host(self) -> dict[str, str]:
        """Mirrors, if this host can build at all."""
        need("nix-store", "dpkg-deb", "tar", "mount", "unshare", "nsenter", "setpriv")
        own = _own_store()
        if own is not None:
            own.make()
        _check_confinement()
        return configured_mirrors()

    def _realise(
        self,
        evaluated: Evaluated,
        lock: Lock,
        derivations: t.Sequence[str],
        layers: t.Mapping[str, str],
        mirrors: t.Mapping[str, str],
    ) -> None:
        """Fetch the packages, many at once, then build.

        :param layers: role → the layer with its packages, of all roles that are built.
        """
        roles, labels = sorted(layers), Labels(evaluated.name, layers)
        missing = self._nix.missing(derivations)
        packages = [path for path in missing if path.endswith(".deb.drv")]
        self._check_space(evaluated, len(packages), roles)
        if packages:
            from .offered import derivation_name, require_offered  # with HTTP, which most runs do without

            names = {os.path.basename(path)[HASH : -len(".drv")] for path in packages}
            wanted = {
                name: each
                for name, each in lock.packages.items()
                if each.archive != COMPOSITION and derivation_name(each) in names
            }
            with self.progress.waiting(lambda: "asking the mirrors for the locked packages"):
                require_offered(wanted, mirrors)
            self._fetch(packages, f"build {', '.join(roles)}: fetching packages")
        log = BuildLog(self.progress, labels)
        try:
            self._nix.realise(derivations, log, log.describe)
        except NixBuildError as error:
            others = others_than_locked(error)
            if others:
                where = lock_path(evaluated.path)
                raise InputError(
                    f"{where}: packages differ from what it says: {others}; somebody has changed it by hand"
                ) from None
            raise labels.named(error) from None

    def _fetch(self, packages: t.Sequence[str], what: str) -> None:
        log = BuildLog(self.progress, lambda path: "")
        self.progress.say(f"{what} 0/{len(packages)}")
        try:
            self._nix.realise(
                packages,
                log,
                lambda: f"{what} {log.finished}/{len(packages)}, {log.fetched >> 20} MiB",
                "--max-jobs",
                str(DOWNLOADS),
            )
        except NixBuildError as error:
            package = failed_without_a_word(error)
            if package is None:
                raise
            # Of many at the same time, one may end before Nix has read what it said. Alone it is heard.
            self._nix.realise([package], log, lambda: f"{what}, again {os.path.basename(package)}")
            self._nix.realise(packages, log, lambda: what)

    def _check_space(self, evaluated: Evaluated, missing: int, roles: t.Sequence[str]) -> None:
        sizes = {role: evaluated.size(role) for role in roles}
        fetched = max(sizes.values()) if missing else 0
        store = self._nix.file(os.environ.get("NIX_STORE_DIR", "/nix/store"))
        for directory, needed in (
            (store, STORE_FACTOR * sum(sizes.values()) + fetched),
            (tempfile.gettempdir(), BUILD_FACTOR * max(sizes.values())),
        ):
            free = _free(directory)
            if free < needed:
                raise ComposeError(
                    f"no space for the images of {', '.join(roles)}: {directory} has {free >> 20} MiB free, "
                    f"about {needed >> 20} MiB are needed; make room there"
                )

    def is_built(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, bool]:
        evaluated = self._evaluated(path, parameters, formats)
        evaluated.check_lock(roles)
        return {role: self._nix.is_valid([bundle]) for role, bundle in evaluated.bundles(roles).items()}

    def lock(self, path: str, parameters: Parameters, write: bool = True) -> tuple[str, str, str]:
        evaluated = self._evaluated(path, parameters)
        machine = platform.machine()
        if machine not in ARCHITECTURES:
            raise ComposeError(f"the builder 'debian' does not know the architecture {machine!r}")
        wanted = {role: evaluated.wanted(role) for role in evaluated.attributes["roles"]}
        content = make_lock(evaluated.suite, ARCHITECTURES[machine], wanted, self.progress)
        made = self._made(evaluated, parameters, content)
        kept = evaluated.locked.lock.numbers if evaluated.locked else None
        new = lock_text(number(content, kept, made, wanted))
        file = lock_path(evaluated.path)
        old = ""
        if os.path.exists(file):
            with open(file, encoding="utf-8") as stream:
                old = stream.read()
        if write and new != old:
            write_text(file, new, mode=0o644)
        return file, old, new

    def _made(self, evaluated: Evaluated, parameters: Parameters, content: Content) -> dict[str, Numbers]:
        """Role → users and groups that its packages make as they are installed: nobody knows before."""
        lock = codec.decode(Lock, content, "lock")
        evaluated = replace(evaluated, locked=Locked(lock, ""))
        mirrors = self._check_host()
        with TemporaryDirectory("lock") as directory:
            file = os.path.join(directory, "lock.json")
            write_text(file, lock_text(content))
            arguments = {**self._arguments(evaluated.path, parameters, (), mirrors), "lock": file}
            within = self.within(evaluated.path)
            roles = sorted(lock.roles)
            layers = self._nix.instantiate(
                self._file,
                [f'images."{role}".layer' for role in roles],
                arguments,
                within=[*within, directory] if within else [],
            )
        outputs = self._nix.outputs(layers)
        if not self._nix.is_valid(outputs):
            self.progress.say(f"lock: looking which users and groups the packages of {', '.join(roles)} make")
            try:
                self._realise(evaluated, lock, layers, dict(zip(roles, layers)), mirrors)
            except NixBuildError as error:
                raise explain_failure(error, lock.packages, mirrors) from None
        made = {}
        for role, output in zip(roles, outputs):
            with open(self._nix.file(os.path.join(output, "numbers")), encoding="utf-8") as stream:
                made[role] = read_numbers(stream.read())
        return made

    def check_reproducible(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        evaluated = self._evaluated(path, parameters)
        lock = evaluated.check_lock(roles)
        mirrors = self._check_host()
        arguments = {
            **self._arguments(evaluated.path, parameters, sorted({"root", *formats}), mirrors),
            "surroundings": str(time.time_ns()),
        }
        found = {}
        for role in roles:
            attributes = [f'images."{role}".{what}' for what in ("differences", "layer")]
            compares, layer = self._nix.instantiate(
                self._file, attributes, arguments, within=self.within(evaluated.path)
            )
            log = BuildLog(self.progress, Labels(evaluated.name, {role: layer}))
            try:
                (compared,) = self._nix.realise([compares], log, log.describe)
            except NixBuildError as error:
                raise explain_failure(error, lock.packages, mirrors) from None
            with open(self._nix.file(os.path.join(compared, "differences")), encoding="utf-8") as stream:
                found[role] = listed(stream.read().splitlines())
        return found


def _own_store() -> OwnStore | None:
    """The store for users who are not root."""
    return None if os.geteuid() == 0 else OwnStore.of_user()


def _check_confinement() -> None:
    """:raises ComposeError: this host, perhaps a container, gives builds no namespaces of their own."""
    namespaces = ["--user", "--mount", "--pid", "--net", "--ipc", "--uts"]
    try:
        # A process file system of its own: what a container often does not let its root have.
        run(["unshare", *namespaces, "--map-root-user", "--fork", "--mount-proc", "sh", "-c", ":"], timeout=60)
    except CommandError as error:
        said = (error.output.strip().splitlines() or [str(error)])[-1]
        raise ComposeError(
            f"this host cannot confine builds, and what a role or a package runs would be root on it: {said}; user "
            "namespaces must be allowed (sysctl user.max_user_namespaces), and a container must be a privileged one"
        ) from None


def _free(directory: str) -> int:
    """Free bytes where the directory is, or will be."""
    while not os.path.exists(directory):
        directory = os.path.dirname(directory)
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
