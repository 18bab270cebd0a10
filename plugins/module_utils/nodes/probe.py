# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked, in one round trip, and what it answers. PRIVATE to the collection."""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import dataclass, field
from functools import cache

from ..model.follow import Follows
from ..model.image import IDENTITY_FILE, SYSTEM_LINK
from .output import Output

#: Seconds that a declared port may stay closed once systemd says that the system is up.
PORT_GRACE = 30
#: Failed units that are listed, and explained; last lines of each, and bytes of a line.
LISTED, EXPLAINED, LINES, WIDTH = 200, 10, 3, 300

#: Seconds for which it counts that a unit ended and was started again by systemd.
RECENT = 600

#: Where a node has a line for each task that changed it though it was sealed. Gone when it boots again.
UNSEALED = "/run/compose/unsealed"
#: The program of images with directories that follow a git repository.
FOLLOW = "/usr/lib/compose/follow"

#: What is known of a node, by key: one fact per line, ``KEY VALUE``.
Facts = t.Mapping[str, t.Sequence[str]]

#: Where a node is asked for its ports whose address nobody knows.
LOOPBACK = "127.0.0.1"

# Of units whether they live, wait for another start, or failed; the others never end by themselves.
_STATES = "failed,auto-restart,auto-restart-queued,running,exited"
_PROPERTIES = "Id,ActiveState,SubState,NRestarts,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic,Job"

# What it runs.
_IDENTITY = r"""
if [ -L {system_link} ]; then identity=$(basename "$(readlink -f {system_link})")
elif [ -r {identity_file} ]; then IFS= read -r -n 1000 identity <{identity_file}
else identity=$(head {identity_file} 2>&1); fi
herd={system_link}/profile/bin/herd
echo "identity $identity"
failing() {
  local unit count=0
  while read -r unit _ && [ $((count += 1)) -le {listed} ]; do printf '%s\n' "${unit:0:{width}}"; done < <(
    if [ -x $herd ]; then LANGUAGE=C $herd status | sed -n 's/^ *! *//p'
    else systemctl list-units --state=failed --plain --no-legend --no-pager; fi)
}
"""
# What was done to it since it booted.
_DONE = r"""
if [ -e {unsealed} ]; then tail -n 20 {unsealed} | cut -b 1-1000 | sed 's/^/unsealed /'; fi
if [ -x {follow} ]; then {follow} report; fi
"""

# The node itself waits until it is up. Guix has the Shepherd in place of systemd; that marks a service that failed to
# start with "!". A thousand nodes may share a host: what is well starts no program but systemctl, once. All is well if
# what it boots to is active, nothing has failed, and no job waits; else systemd itself is asked what state that is.
_WHETHER_UP = r"""
units() {
  local IFS=$' \t\n' shown first short now failures= jobs=
  state= up= alive=0 again=()
  read -r now _ </proc/uptime
  now=${now%.*}
  # In large pieces, and with an end: byte by byte takes longer than all else here.
  read -r -N 500000 shown < <(
    systemctl show --no-pager --property={properties} --state={states} default.target '*' 2>&1)
  first=${shown%%$'\n\n'*} short=${shown//$'\n\n'/$'\n'}
  alive=$((${#shown} - ${#short}))
  state=${first#*ActiveState=} state=${state%%$'\n'*}
  case $first in *ActiveEnterTimestampMonotonic=[0-9]*)
    up=${first#*ActiveEnterTimestampMonotonic=} up=$((now - ${up%%$'\n'*} / 1000000)) ;;
  esac
  # Only where there is something to find: to go through all units takes as long as all else together.
  case $shown in *ActiveState=failed* | *=auto-restart* | *NRestarts=[1-9]* | *Job=[1-9]*) one_by_one ;; esac
  if [ "$state$jobs$failures" = active ]; then state=running; else state=; fi
}
one_by_one() {
  local line unit= active= sub= restarts= since=
  IFS=$'\n'
  set -f
  for line in ${shown//$'\n\n'/$'\nEnd\n'} End; do
    case $line in
      Id=*) unit=${line#*=} ;;
      ActiveState=*) active=${line#*=} ;;
      SubState=*) sub=${line#*=} ;;
      NRestarts=*) restarts=${line#*=} ;;
      InactiveExitTimestampMonotonic=*) since=${line#*=} ;;
      Job=?*) jobs=1 ;;
      End)
        since=$((now - ${since:-0} / 1000000))
        case $active,$sub,$unit in
          failed,*) failures=1 ;;
          *,*getty@*|*,console-getty*) ;;  # they come again with each login
          activating,auto-restart*) again+=("$unit ${restarts:-0} 0") ;;
          *) if [ "${restarts:-0}" -gt 0 ] && [ $since -le {recent} ]; then again+=("$unit $restarts $since"); fi ;;
        esac
        unit= active= sub= restarts= since= ;;
    esac
  done
  set +f
}
asked() { IFS= read -r -n 1000 state < <(systemctl is-system-running "$@" 2>&1); }
if [ -x $herd ]; then state=running; else units; [ -n "$state" ] || asked; fi
# What runs something else is not waited for, but told about.
if [ "$identity" != "$expected" ]; then wait=0 grace=0 ports=; fi
case $state in
  initializing|starting) if [ $wait = 1 ]; then asked --wait; wake=$state; units; state=${state:-$wake}; fi ;;
esac
about() { head -n "$2" | cut -b 1-{width} | while IFS= read -r line; do printf '%s\n' "$1 $unit $line"; done; }
explained=0
explain() {
  if [ $((explained += 1)) -le {explained} ]; then
    systemctl show --property=Result,ExecMainStatus "$unit" 2>/dev/null | about why 5
    journalctl --boot --no-pager --output=cat --lines={lines} "_SYSTEMD_UNIT=$unit" 2>&1 | about said {lines}
  fi
}
# Who listens on a port, at which addresses, as the kernel writes them.
listeners() {
  local file at state inode name
  for file in /proc/net/tcp /proc/net/tcp6; do
    while read -r _ at _ state _ _ _ _ _ inode _; do
      [ "$state" = 0A ] && [ $((16#${at##*:})) = "$port" ] || continue
      name=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" -print -quit 2>/dev/null)
      read -r -n 100 name 2>/dev/null <"${name%/fd/*}/comm"
      echo "listens $port ${at%:*} $name"
    done <$file
  done 2>/dev/null | head -n 10
}
if [ "$state" != running ]; then grace=0; fi
end=$((SECONDS + grace)) closed=
for port in $ports; do
  until (exec 3<>/dev/tcp/$address/$port) 2>/dev/null; do
    if [ "$SECONDS" -ge "$end" ]; then closed=1; echo "closed $port"; listeners; break; fi
    sleep 0.1
  done
done
# While that was waited for, units may have failed.
if [ -n "$closed" ] && [ "$state" = running ] && [ ! -x $herd ]; then units; [ -n "$state" ] || asked; fi
if [ -x $herd ] || [ "$state" != running ]; then while read -r unit; do
  echo "failed $unit"
  explain
done < <(failing); fi
for line in "${again[@]}"; do
  unit=${line%% *}
  echo "again $line"
  explain
done
"""
_STATE = r"""
if [ -n "$up" ]; then echo "up $up $alive"; fi
echo "state $state"
"""

# As it is now, and no more than who has changed it has to know: it takes a third of the time.
_FAILED = r"""
while read -r unit; do echo "failed $unit"; done < <(failing)
"""

_PROBE = _IDENTITY + _WHETHER_UP + _DONE + _STATE
_GLANCE = _IDENTITY + _FAILED + _DONE


@dataclass(frozen=True)
class Expected:
    """What a node has to be."""

    identity: str
    ports: t.Sequence[int] = ()
    #: By which its peers know the node: where its ports are asked for. Without one, the loopback interface.
    address: str | None = None
    #: Units, or patterns for them, whose failure is told but counts for nothing.
    may_fail: t.Sequence[str] = ()
    #: Directories that follow a git repository, by path.
    follow: Follows = field(default_factory=dict)


def probe(expected: Expected, *, wait: bool) -> str:
    """The command that asks a node.

    :param wait: until the node is up, and its ports are open.
    """
    told = {
        "expected": expected.identity,
        "wait": "1" if wait else "0",
        "grace": str(PORT_GRACE if wait else 0),
        "ports": " ".join(map(str, expected.ports)),
        "address": expected.address or LOOPBACK,
    }
    return "\n".join([*(f"{name}={shlex.quote(value)}" for name, value in told.items()), _filled(_PROBE, **_known())])


def glance() -> str:
    """The command that asks a node what it runs, what has failed, and what was done to it since it booted."""
    return _filled(_GLANCE, **_known())


def _known() -> dict[str, str]:
    """What is the same for all nodes. What is not is in variables of the shell."""
    return {
        "identity_file": shlex.quote(IDENTITY_FILE),
        "system_link": SYSTEM_LINK,
        "unsealed": UNSEALED,
        "follow": FOLLOW,
        "explained": str(EXPLAINED),
        "listed": str(LISTED),
        "lines": str(LINES),
        "width": str(WIDTH),
        "recent": str(RECENT),
        "states": _STATES,
        "properties": _PROPERTIES,
    }


@cache
def _filled(script: str, **values: str) -> str:
    for key, value in values.items():
        script = script.replace(f"{{{key}}}", value)
    return script


def facts_of(output: Output) -> dict[str, list[str]]:
    """What the probe, or the glance, printed."""
    facts: dict[str, list[str]] = {}
    for line in output.stdout.decode("utf-8", "replace").splitlines():
        key, dummy, value = line.partition(" ")
        facts.setdefault(key, []).append(value)
    return facts
