# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked, in one round trip, and what it answers. PRIVATE to the collection."""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import dataclass, field

from ..model.follow import Follows
from ..model.image import IDENTITY_FILE, SYSTEM_LINK
from .output import Output

#: Seconds that a declared port may stay closed once systemd says that the system is up.
PORT_GRACE = 30
#: Failed units that are listed, and explained; last lines of each, and bytes of a line.
LISTED, EXPLAINED, LINES, WIDTH = 200, 10, 3, 300

#: Where a node has a line for each task that changed it though it was sealed. Gone when it boots again.
UNSEALED = "/run/compose/unsealed"
#: The program of images with directories that follow a git repository.
FOLLOW = "/usr/lib/compose/follow"

#: What is known of a node, by key: one fact per line, ``KEY VALUE``.
Facts = t.Mapping[str, t.Sequence[str]]

# The node itself waits until it is up. Guix has the Shepherd in place of systemd; that marks a service that failed to
# start with "!". A thousand nodes may share a host: what is well starts no program but systemctl, once; systemd says
# "running" only where no unit has failed.
_PROBE = r"""
if [ -L {system_link} ]; then identity=$(basename "$(readlink -f {system_link})")
elif [ -r {identity_file} ]; then IFS= read -r -n 1000 identity <{identity_file}
else identity=$(head {identity_file} 2>&1); fi
herd={system_link}/profile/bin/herd
asked() { IFS= read -r -n 1000 state < <(systemctl is-system-running "$@" 2>&1); }
if [ -x $herd ]; then state=running; else asked; fi
echo "identity $identity"
# What runs something else is not waited for, but told about.
wait={wait} grace={grace} ports={ports}
if [ "$identity" != {identity} ]; then wait=0 grace=0 ports=; fi
case $state in
  initializing|starting) if [ $wait = 1 ]; then asked --wait; fi ;;
esac
about() { head -n "$2" | cut -b 1-{width} | while IFS= read -r line; do printf '%s\n' "$1 $unit $line"; done; }
explained=0
if [ -x $herd ] || [ "$state" != running ]; then while read -r unit _; do
  echo "failed $unit"
  if [ $((explained += 1)) -le {explained} ]; then
    systemctl show --property=Result,ExecMainStatus "$unit" 2>/dev/null | about why 5
    journalctl --boot --no-pager --output=cat --lines={lines} "_SYSTEMD_UNIT=$unit" 2>&1 | about said {lines}
  fi
  grace=0
done < <(if [ -x $herd ]; then LANGUAGE=C $herd status | sed -n 's/^ *! *//p'
  else systemctl list-units --state=failed --plain --no-legend --no-pager; fi | head -n {listed} | cut -b 1-{width}); fi
end=$((SECONDS + grace))
for port in $ports; do
  until for addr in {addresses}; do (exec 3<>"/dev/tcp/$addr/$port") 2>/dev/null && break; done; do
    if [ "$SECONDS" -ge "$end" ]; then echo "closed $port"; break; fi
    sleep 0.1
  done
done
if [ -e {unsealed} ]; then tail -n 20 {unsealed} | cut -b 1-1000 | sed 's/^/unsealed /'; fi
if [ -x {follow} ]; then {follow} report; fi
echo "state $state"
"""


@dataclass(frozen=True)
class Expected:
    """What a node has to be."""

    identity: str
    ports: t.Sequence[int] = ()
    #: The node's own address: where services listen that do not listen on the loopback interface.
    address: str | None = None
    #: Units, or patterns for them, whose failure is told but counts for nothing.
    may_fail: t.Sequence[str] = ()
    #: Directories that follow a git repository, by path.
    follow: Follows = field(default_factory=dict)


def probe(expected: Expected, *, wait: bool) -> str:
    """The command that asks a node.

    :param wait: until the node is up, and its ports are open.
    """
    values = {
        "identity_file": shlex.quote(IDENTITY_FILE),
        "system_link": SYSTEM_LINK,
        "unsealed": UNSEALED,
        "follow": FOLLOW,
        "identity": shlex.quote(expected.identity),
        "wait": "1" if wait else "0",
        "grace": str(PORT_GRACE if wait else 0),
        "listed": str(LISTED),
        "explained": str(EXPLAINED),
        "lines": str(LINES),
        "width": str(WIDTH),
        "ports": shlex.quote(" ".join(map(str, expected.ports))),
        "addresses": " ".join(filter(None, ("127.0.0.1", "::1", expected.address))),
    }
    script = _PROBE
    for key, value in values.items():
        script = script.replace(f"{{{key}}}", value)
    return script


def facts_of(output: Output) -> dict[str, list[str]]:
    """What the probe printed."""
    facts: dict[str, list[str]] = {}
    for line in output.stdout.decode("utf-8", "replace").splitlines():
        key, dummy, value = line.partition(" ")
        facts.setdefault(key, []).append(value)
    return facts
