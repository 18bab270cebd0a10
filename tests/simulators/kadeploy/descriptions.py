"""Descriptions of environments: what may be in them, and what Kadeploy says of those that are wrong."""

from __future__ import annotations

import typing as t

from .errors import ENVIRONMENT, KadeployError
from .files import Files

Json = dict[str, t.Any]

_RUBY: dict[type, str] = {str: "String", int: "Integer", dict: "Hash", list: "Array", bool: "[TrueClass, FalseClass]"}
_OS, _KINDS = ("linux", "xen", "other"), ("tar", "dd", "fsa")
_VISIBILITIES = ("public", "private", "shared")
_ARCHITECTURES = ("x86_64", "ppc64le", "aarch64")


class _Wrong(Exception):
    """What is wrong, and where."""


class _Reader:
    """Takes known fields out of a description; what is left is unused."""

    def __init__(self, values: t.Any, path: tuple[str, ...] = ()) -> None:
        self._values = dict(values) if isinstance(values, dict) else values
        self._path = path
        self._inner: list[_Reader] = []

    def _name(self, field: str) -> str:
        return "/".join((*self._path, field))

    def fail(self, field: str, why: str) -> _Wrong:
        """What to raise."""
        return _Wrong(f"{why} [field: {self._name(field)}]")

    def value(self, field: str, kind: type, default: t.Any = None, values: t.Sequence[t.Any] = ()) -> t.Any:
        """A field; without a default it is mandatory."""
        if not isinstance(self._values, dict):
            raise self.fail(field, "The field is mandatory" if self._values is None else "The field has to be a Hash")
        found = self._values.pop(field, None)
        if found is None:
            if default is None:
                raise self.fail(field, "The field is mandatory")
            found = default
        elif not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise self.fail(field, f"The field should have the type {_RUBY[kind]}")
        if values and found not in values:
            allowed = "', '".join(str(value) for value in values[:-1])
            why = f"Invalid value '{found}', allowed values are: '{allowed}' or '{values[-1]}'"
            raise self.fail(field, why)
        return found

    def inner(self, field: str, *, mandatory: bool = False) -> _Reader | None:
        """A field that has fields."""
        return self._take(self.value(field, dict, None if mandatory else {}), field)

    def each(self, field: str) -> list[_Reader]:
        """A field that is a list of what has fields."""
        values = self.value(field, list, [])
        return [self._take(value, field, str(number)) or _Reader({}) for number, value in enumerate(values)]

    def _take(self, values: t.Any, *names: str) -> _Reader | None:
        if values == {}:
            return None
        reader = _Reader(values, (*self._path, *names))
        self._inner.append(reader)
        return reader

    def unused(self) -> list[str]:
        """Names of fields nobody asked for."""
        own = [self._name(field) for field in self._values] if isinstance(self._values, dict) else []
        return own + [name for reader in self._inner for name in reader.unused()]


def check(given: Json, *, modern: bool, files: Files | None, client: str = "") -> tuple[Json, list[str]]:
    """A description as Kadeploy keeps it, and the names of fields that it ignores.

    :param modern: of Kadeploy 3.9 or later
    :param files: where the files must be; ``None`` does not look
    :raises KadeployError: it is wrong
    """
    reader = _Reader(given)
    try:
        found = _description(reader, modern, files, client)
    except _Wrong as wrong:
        raise KadeployError(ENVIRONMENT, f"Error[environment description] {wrong}") from wrong
    return found, reader.unused()


def _description(reader: _Reader, modern: bool, files: Files | None, client: str) -> Json:
    compressions = ("gzip", "bzip2", "xz", "zstd") if modern else ("gzip", "bzip2", "xz")

    def at(uri: str) -> str:
        if files is not None:
            files.check(uri, client)
        return uri

    name, version = reader.value("name", str), reader.value("version", int, 1)
    found: Json = {"name": name, "version": version}
    if modern:
        found["arch"] = reader.value("arch", str, "x86_64", _ARCHITECTURES)
        found["alias"] = reader.value("alias", str, "")
    found["description"], found["author"] = reader.value("description", str, ""), reader.value("author", str, "")
    found["visibility"] = reader.value("visibility", str, "private", _VISIBILITIES)
    found["destructive"] = reader.value("destructive", bool, False)
    system = found["os"] = reader.value("os", str, None, _OS)
    image = reader.inner("image", mandatory=True) or _Reader({}, ("image",))
    file, kind = image.value("file", str), image.value("kind", str, None, _KINDS)
    if kind == "fsa":
        compression: t.Any = image.value("compression", int, 0, range(10))
    else:
        compression = image.value("compression", str, None, compressions)
    found["image"] = {"file": at(file), "kind": kind, "compression": compression}
    before = reader.inner("preinstall")
    if before:
        found["preinstall"] = _archive(before, compressions, at)
    after = [_archive(entry, compressions, at) for entry in reader.each("postinstalls")]
    if after:
        found["postinstalls"] = after
    filesystem, partition = reader.value("filesystem", str, ""), reader.value("partition_type", int, 0)
    multipart = reader.value("multipart", bool, False)
    options = _options(reader.inner("options", mandatory=multipart), multipart, modern)
    if modern:
        variables = reader.value("custom_variables", dict, {})
        if variables:
            found["custom_variables"] = variables
    boot = _boot(reader.inner("boot"), multipart)
    if boot:
        found["boot"] = boot
    _need(system, kind, boot, filesystem)
    found |= {"filesystem": filesystem, "partition_type": partition, "multipart": multipart}
    if options:
        found["options"] = options
    optional = ("alias", "description", "author", "filesystem")
    return {key: value for key, value in found.items() if value or key not in optional}


def _archive(reader: _Reader, compressions: t.Sequence[str], at: t.Callable[[str], str]) -> Json:
    file = at(reader.value("archive", str))
    compression = reader.value("compression", str, None, compressions)
    return {"archive": file, "compression": compression, "script": reader.value("script", str, "none")}


def _options(reader: _Reader | None, multipart: bool, modern: bool) -> Json:
    found: Json = {}
    if reader is None:
        return found
    partitions = [{"id": p.value("id", int), "device": p.value("device", str)} for p in reader.each("partitions")]
    for key, word in (("id", "id #{}"), ("device", "device '{}'")):
        seen: set[t.Any] = set()
        for number, partition in enumerate(partitions):
            if partition[key] in seen:
                why = f"Partition {word.format(partition[key])} is already defined"
                raise reader.fail(f"partitions/{number}", why)
            seen.add(partition[key])
    if partitions or multipart:
        found["partitions"] = partitions
    if modern:
        for key in ("kexec", "trust_previous_env"):
            given = reader.value(key, bool, "")
            if given != "":
                found[key] = given
    return found


def _boot(reader: _Reader | None, multipart: bool) -> Json:
    if reader is None:
        return {}
    names = ("kernel", "initrd", "kernel_params", "hypervisor", "hypervisor_params")
    found = {name: reader.value(name, str, "") for name in names}
    found = {name: value for name, value in found.items() if value}
    if multipart:
        found["block_device"], found["partition"] = reader.value("block_device", str), reader.value("partition", int)
    return found


def _need(system: str, kind: str, boot: Json, filesystem: str) -> None:
    """What an archive needs to be booted."""
    if kind != "tar":
        return
    needed = {"hypervisor": boot.get("hypervisor")} if system == "xen" else {}
    for name, value in {**needed, "kernel": boot.get("kernel"), "filesystem": filesystem}.items():
        if not value:
            why = f"The field '{name}' is mandatory for OS {system} with the '{kind}' image kind"
            raise KadeployError(ENVIRONMENT, why)
