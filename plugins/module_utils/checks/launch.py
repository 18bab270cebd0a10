# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other processes that run functions of the collection. PRIVATE to the collection."""

from __future__ import annotations

import sys

# The collection has no place of its own there: a module has it in an archive, and in a directory beside that.
_COLLECTION = __package__.rpartition(".")[0]
_MAIN = f"""
import sys, types
name = ""
for part in {_COLLECTION.split(".")!r}:
    name += part
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    name += "."
own, numbers, module.__path__ = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
__import__(own)
sys.modules[own].main(*map(int, numbers))
"""


def command(module: str, *numbers: int) -> list[str]:
    """The command that calls ``main`` of a module of the collection, given by its full name, with these numbers."""
    places = sys.modules[_COLLECTION].__path__
    return [sys.executable, "-c", _MAIN, module, " ".join(map(str, numbers)), *places]
