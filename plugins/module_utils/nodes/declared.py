# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was changed on a node of NixOS or Guix, which has in its store what it should be. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from contextlib import suppress
from dataclasses import dataclass, field

from ..images.listing import Entry, Listing
from ..model.image import SYSTEM_LINK
from .look import BOOTED, Sight
from .output import Output

#: Lines of ``/etc/passwd`` as the node had them when it booted.
ACCOUNTS = "/run/compose/passwd"
#: Seconds after the node document was applied, for what boots without systemd and cannot say when it was up.
_BOOTS = 60
#: The store gives all of its files a time in the first day of 1970.
_STORED = 86400.0

# The root file system is made at boot: links into the store, and copies, by what /etc of the system has. So these are
# compared with it, by the node itself. Of all else, and of the store, only what was changed since the node was up can
# be told, by the time at which anything about a file was changed, which nobody can set. A directory elsewhere is told
# if it is empty: what else was changed in one speaks for itself.
_LOOK = r"""
shopt -s dotglob nullglob globstar
while read -r _ _ _ _ place _; do printf 'P%s\0' "$place"; done </proc/self/mountinfo
while IFS= read -r line; do printf 'N%s\0' "$line"; done </etc/passwd
if [ -r {accounts} ]; then while IFS= read -r line; do printf 'O%s\0' "$line"; done <{accounts}; fi
for unit in /run/systemd/system/*; do
  if [ -L "$unit" ] && [ "$unit" -ef /dev/null ]; then printf 'M%s\0' "${unit##*/}"; fi
done
same() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then [ -d "$2" ]
  elif [ "$1" -ef "$2" ]; then :
  elif [ -L "$2" ]; then [ -L "$1" ] && [ "$(readlink -m -- "$1")" = "$(readlink -m -- "$2")" ]
  else [ -f "$2" ] && cmp -s -- "$1" "$2"; fi
}
if cd {system}/etc/; then
  for path in **; do
    case $path in *.mode|*.uid|*.gid) if [ -L "${path%.*}" ]; then continue; fi ;; esac
    printf 'E%s\0' "etc/$path"
    if same "$path" "/etc/$path"; then continue; fi
    if [ -e "/etc/$path" ] || [ -L "/etc/$path" ]; then printf 'X%s\0' "etc/$path"; else printf 'D%s\0' "etc/$path"; fi
  done
fi
since=$(systemctl show --property=ActiveEnterTimestamp --value --timestamp=unix default.target 2>/dev/null)
case $since in
  @[1-9]*) since=$((${since#@} + 1)) ;;
  *) since=$(find {booted} -printf '%Cs' 2>/dev/null); since=${since:+$((since + {boots}))} ;;
esac
store=$(readlink -f {system}) store=${store%/*}
if [ -n "$since" ]; then
  printf 'S\0'
  find / -xdev -path "$store" -prune -o -newerct "@$since" \( ! -type d -o -empty \) -printf 'T%P\0' 2>/dev/null
  find "$store" -xdev -mindepth 1 -newerct "@$since" -printf 'I%P\t%T@\0' 2>/dev/null
fi
printf 'W%s\0' "$store"
"""
LOOK = (
    _LOOK.replace("{system}", SYSTEM_LINK)
    .replace("{accounts}", ACCOUNTS)
    .replace("{booted}", BOOTED)
    .replace("{boots}", str(_BOOTS))
)


@dataclass
class Declared:
    """What a node answered."""

    #: What it should be, and what it is: as far as they differ, and of ``/etc`` all that the system has.
    image: Listing
    sight: Sight
    #: What it could not say.
    unknown: list[str] = field(default_factory=list)


#: Files that are there since the node booted, though its system does not have them.
_MADE = (
    *(f"etc/{name}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid", "static", "ssl")),
    "bin/sh",
    "usr/bin/env",
    "usr/lib/compose/apply-node",
)
#: There is no more to say of a file than whether it is as it was.
_SAME, _OTHER = Entry("?", ""), Entry("?", "", "changed")


def declared(output: Output) -> Declared:
    """What the node printed to :data:`LOOK`."""
    told: dict[str, list[str]] = {}
    for record in output.stdout.decode("utf-8", "replace").split("\0"):
        told.setdefault(record[:1], []).append(record[1:])
    etc = told.get("E", [])
    old = dict.fromkeys(etc, _SAME)
    new = {path: _SAME for path in etc if path not in set(told.get("D", ()))}
    new.update(dict.fromkeys(told.get("X", ()), _OTHER))
    for path in told.get("T", ()):
        new[path] = _OTHER
        if path in _MADE:
            old[path] = _SAME
    store = next(iter(told.get("W", ())), "").strip("/")
    _stored(store, told.get("I", []), old, new)
    mounts = {place.strip("/") for place in told.get("P", ())}
    unknown = [] if "S" in told else ["it does not say how long it has been up"]
    unknown += [] if etc else [f"{SYSTEM_LINK}/etc is not there"]
    before = told.get("O")
    unknown += [] if before else ["its image does not keep what accounts there were when it booted"]
    users = told.get("N", [])
    sight = Sight(
        new,
        mounts={place for place in mounts if not f"{store}/".startswith(f"{place}/")},  # the store is looked at
        masked=told.get("M", []),
        users=users if before else [],
    )
    return Declared(Listing(old, before or []), sight, unknown)


def _stored(store: str, told: t.Sequence[str], old: dict[str, Entry], new: dict[str, Entry]) -> None:
    """What was changed in the store. An item that was added has the time of all that is stored, and is told once."""
    items = [item.rpartition("\t") for item in told]
    added = {path for path, _tab, time in items if "/" not in path and _is_stored(time)}
    for path, _tab, _time in items:
        if path.partition("/")[0] not in added:
            old[f"{store}/{path}"] = _SAME
            new[f"{store}/{path}"] = _OTHER
    new.update(dict.fromkeys((f"{store}/{path}" for path in added), _OTHER))


def _is_stored(time: str) -> bool:
    with suppress(ValueError):
        return float(time) < _STORED
    return False
