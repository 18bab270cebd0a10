# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``setup.toml`` of a project of NixOS Compose: what a build can be told. PRIVATE to the collection."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from ...errors import InputError
from ...files import write_text
from ...model import codec
from ...model.free import Json, Parameters


@dataclass(frozen=True)
class Setup:
    """Its content, as the flake would merge it."""

    content: Parameters = field(default_factory=dict)

    @classmethod
    def read(cls, content: object, file: str) -> Setup:
        """:raises InputError: names what is not as NixOS Compose has it."""
        setup = codec.decode(cls, {"content": content}, file)
        for name in ("flavour", "kernel-params", "nix-flags"):
            value = setup._options.get(name, "")
            if not isinstance(value, str):
                raise InputError(f"{file}: options.{name} is {json.dumps(value)}, expected a string")
        return setup

    @property
    def _options(self) -> Parameters:
        options = self.content.get("options", {})
        return options if isinstance(options, t.Mapping) else {}

    @property
    def flavour(self) -> str:
        """The flavour that it asks for; empty: none."""
        return str(self._options.get("flavour", ""))

    @property
    def kernel_params(self) -> str:
        """Of the kernel's command line."""
        return str(self._options.get("kernel-params", ""))

    @property
    def nix_flags(self) -> list[str]:
        """Arguments for Nix, split as nxc does."""
        return str(self._options.get("nix-flags", "")).split()

    def write(self, file: str) -> None:
        """Write a setup.toml that says this and leaves nothing to merge, one key of the top level in a line."""
        data = {key: value for key, value in self.content.items() if key != "override-params"}
        project = data.get("project")
        if isinstance(project, t.Mapping):
            data["project"] = {key: value for key, value in project.items() if key != "selected"}
        text = "".join(f"{json.dumps(key)} = {_toml(value, key)}\n" for key, value in sorted(data.items()))
        try:
            write_text(file, text, 0o644)
        except UnicodeEncodeError:
            raise InputError("setup: there is half a character in it, which setup.toml cannot hold") from None


def _toml(value: Json, where: str) -> str:
    if isinstance(value, t.Mapping):
        entries = (f"{json.dumps(key)} = {_toml(item, f'{where}.{key}')}" for key, item in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item, where) for item in value) + "]"
    if value is None:
        raise InputError(f"setup: {where} is null, which setup.toml cannot hold")
    return json.dumps(value, ensure_ascii=False)
