# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of users and groups: what files belong to. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Numbers:
    """Who has which number."""

    #: User → number.
    users: t.Mapping[str, int] = field(default_factory=dict)
    #: Group → number.
    groups: t.Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any are known."""
        return bool(self.users or self.groups)
