# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``reservation`` of a deployment file: machines that OAR lends for its nodes. PRIVATE to the collection."""

from __future__ import annotations

from ..errors import InputError, shown
from ..model.deployment import Reservation
from . import values

#: What is text, besides ``walltime``.
_TEXTS = ("name", "properties", "queue", "start", "project", "frontend", "ssh_config", "url", "site", "ca_file")
KEYS = ("nodes", "walltime", "types", "disks", "interface", "timeout", "on_failure", *_TEXTS)
INTERFACES = ("command", "rest", "grid5000")
ON_FAILURE = ("keep", "release")


def parse_reservation(value: object, deployment: str, count: int, where: str) -> Reservation | None:
    """The reservation, or ``None`` if the file has none. What OAR itself may refuse is not known here.

    :param deployment: its name, of which the job gets one.
    :param count: how many nodes the deployment has.
    :raises InputError: an unknown key, one of another type, or fewer machines than nodes.
    """
    if value is None:
        return None
    entry = values.mapping(value, where)
    values.known(entry, KEYS, where, "key of a reservation")
    said: dict[str, str] = {"name": f"compose-{deployment}"}
    for key in (*_TEXTS, "walltime"):
        text = entry.get(key, "")
        if not isinstance(text, str):
            hint = ", in quotes: without them, YAML reads it as a number" if key == "walltime" else ""
            raise InputError(f"{where}.{key} is {shown(text)}, expected text{hint}")
        if text:
            said[key] = text
    if "walltime" not in said:
        raise InputError(f'{where}.walltime is missing, expected H:M:S, for example "3:20:0"')
    types = entry.get("types", ["deploy"])
    if not isinstance(types, list) or not all(isinstance(word, str) for word in types):
        raise InputError(f"{where}.types is {types!r}, expected a list of types of jobs, such as [deploy]")
    disks = entry.get("disks", False)
    if not isinstance(disks, bool):
        raise InputError(f"{where}.disks is {disks!r}, expected true or false")
    nodes = values.at_least_one(entry.get("nodes", max(count, 1)), f"{where}.nodes")
    if nodes < count:
        raise InputError(f"{where}.nodes is {nodes}, but the deployment has {count} nodes")
    return Reservation(
        nodes=nodes,
        types=tuple(types),
        disks=disks,
        interface=values.one_of(entry.get("interface", "command"), INTERFACES, f"{where}.interface"),
        timeout=values.at_least_one(entry.get("timeout", 3600), f"{where}.timeout"),
        on_failure=values.one_of(entry.get("on_failure", "keep"), ON_FAILURE, f"{where}.on_failure"),
        **said,
    )
