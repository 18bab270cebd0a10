# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where SSH finds a node. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """How SSH reaches a node from the host that runs the deployment."""

    host: str
    port: int = 22
    #: ``ProxyCommand`` in the sense of ssh_config(5), ``None`` for a plain TCP connection.
    proxy_command: str | None = None
    #: Whether something accepts connections in place of the node, and before it: that is no sign of life then.
    forwarded: bool = False
