# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of every fleet module: those of the others are links to this file.

Redirects in meta/runtime.yml would make ansible-lint take this module's name for that of all of them.
"""

from __future__ import annotations

from ansible_collections.immutable.compose.plugins.plugin_utils.fleet import FleetAction


class ActionModule(FleetAction):
    """See :class:`FleetAction`."""
