# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: play_info
short_description: Say which plays of a repository reach immutable nodes
version_added: 0.1.0
description:
  - Reads the playbooks of a directory, and tells which plays have hosts of the group C(immutable) in the inventory of
    the run, by file and line, with the pattern to write instead.
  - Runs on the controller only, without a connection. Runs no play.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
options:
  path:
    description:
      - Directory with playbooks, in it and below it; or one playbook. Hidden directories, C(collections), C(group_vars)
        and C(host_vars) are passed over, and so are files that are no playbooks.
    type: path
    required: true
seealso:
  - plugin: immutable.compose.sealed_ssh
    plugin_type: connection
"""

EXAMPLES = r"""
- name: Look for plays that reach nodes
  immutable.compose.play_info:
    path: "{{ playbook_dir }}"
  register: looked
"""

RETURN = r"""
plays:
  description: Plays that reach nodes, in the order of files and lines.
  type: list
  elements: dict
  returned: success
  contains:
    file:
      description: Relative to the directory.
      type: str
    line:
      description: Line of C(hosts).
      type: int
    hosts:
      description: The pattern as it is written.
      type: str
    nodes:
      description: The nodes that it reaches.
      type: list
      elements: str
    others:
      description: How many other hosts it reaches.
      type: int
    instead:
      description: The pattern to write; empty if no host would be left.
      type: str
    message:
      description: All of it in words.
      type: str
unknown:
  description: Plays whose pattern is a template that needs what is known only in the play; with C(file), C(line),
    C(hosts) and C(message).
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Everything is done by the action plugin."""
    module = AnsibleModule({"path": {"type": "path", "required": True}}, supports_check_mode=True)
    module.fail_json(msg="the action plugin of this module did not run")


if __name__ == "__main__":
    main()
