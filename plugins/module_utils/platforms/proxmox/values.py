# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a VM's configuration that follow the deployment file. PRIVATE to the collection."""

from __future__ import annotations

from ...model.deployment import Node
from .config import Config
from .networks import changed
from .record import Record
from .service import Service

#: What a VM has that does not say so.
_DEFAULTS = {"memory": "512", "cores": "1", "sockets": "1"}


def differences(service: Service, node: Node | None, config: Config, record: Record) -> dict[str, str | None]:
    """Values that are to be others (``None``: none): of VMs that were made, or where the file names them."""
    if node is None:
        return {}
    wanted: dict[str, str | None] = {}
    for option, keys in (("memory", ("memory",)), ("cpus", ("cores", "sockets"))):
        if option in node.options or record.created:
            values = (str(service.option(node, option)), "1")
            there = [config.get(key) or _DEFAULTS[key] for key in keys]
            wanted.update({key: value for key, value, now in zip(keys, values, there) if now != value})
    if record.created:
        wanted.update(changed(config, service.networks(node)))
    return wanted


def power(service: Service, node: Node | None, config: Config, record: Record) -> dict[str, int]:
    """Whether a VM that was made starts with its node: once it is verified, as the file says. No start is needed."""
    if node is None or not record.created or record.verified is None or record.verified != record.current:
        return {}
    wanted = int(service.option(node, "onboot"))
    return {} if (config.get("onboot") or "0") == str(wanted) else {"onboot": wanted}
