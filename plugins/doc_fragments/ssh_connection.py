# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that Ansible's own connection plugin ``ssh`` can be told."""

from __future__ import annotations

from ansible.module_utils.common.yaml import yaml_dump, yaml_load
from ansible.plugins.connection.ssh import DOCUMENTATION as SSH


def _options() -> str:
    """The options of ``ssh`` in the ansible-core that runs: a copy would be that of one version."""
    options = yaml_load(SSH)["options"]
    for option in options.values():
        # They would count as versions of this collection.
        for dated in (option, *(place for kind in ("env", "ini", "vars") for place in option.get(kind, ()))):
            dated.pop("version_added", None)
    return str(yaml_dump({"options": options}, sort_keys=False))


class ModuleDocFragment:
    """Documentation fragment ``immutable.compose.ssh_connection``."""

    DOCUMENTATION: str = _options()  # with its type, for ansible-test reads plain assignments as YAML
