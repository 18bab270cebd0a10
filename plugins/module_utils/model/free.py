# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that users are free in: what only a composition, a platform or a builder understands. PRIVATE."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    Json = t.Union[None, bool, int, float, str, t.Sequence["Json"], t.Mapping[str, "Json"]]
else:
    #: Any JSON. The library that converts knows no type that is in itself: this marks what the codec checks itself.
    Json = t.Annotated[t.Any, "JSON"]

#: By name; a composition's own.
Parameters = t.Mapping[str, Json]

#: What options can be; each is declared by a platform or a builder, see describe/options.py.
OptionValue = t.Union[None, bool, int, str, t.Sequence[str]]
#: By name.
Options = t.Mapping[str, OptionValue]
