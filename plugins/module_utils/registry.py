# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes that are found by a name. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from importlib import import_module

T = t.TypeVar("T")


class Registry(t.MutableMapping[str, type[T]]):
    """Name → class, imported when it is asked for: the libraries of one may take longer to import than a step does.

    Ansible packs for a module what an import statement names, so that of each class has to stand somewhere.

    :param package: where each class has a folder of its name.
    :param module: of the folder, in which the class is.
    :param classes: name → name of the class.
    """

    def __init__(self, package: str, module: str, classes: t.Mapping[str, str]) -> None:
        self._package = package
        self._module = module
        self._classes: dict[str, str | type[T]] = dict(classes)

    def __getitem__(self, name: str) -> type[T]:
        known = self._classes[name]
        if isinstance(known, str):
            known = self._classes[name] = getattr(import_module(f"{self._package}.{name}.{self._module}"), known)
        return known

    def __setitem__(self, name: str, value: type[T]) -> None:
        self._classes[name] = value

    def __delitem__(self, name: str) -> None:
        del self._classes[name]

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)
