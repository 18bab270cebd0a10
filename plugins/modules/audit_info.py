# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_info
short_description: Find what contains affected packages
version_added: 0.1.0
description:
  - Given advisories, says which roles of the composition, which images, which kept releases and which nodes contain
    what they are about.
  - Answers from the package lists of the images, and from what the platform says that each node runs; logs in nowhere.
  - Something affected does not end the task; see C(failed_nodes).
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  advisories:
    description:
      - One advisory or a list of them, or a file (JSON or YAML, on the controller) that has that.
      - An advisory is an object with C(id), C(package) (a name or a list of names) and C(versions) (a range such as
        V(< 4.2.6), or a list of ranges; default all), or an OSV record. See C(docs/audit.md).
    type: raw
    required: true
seealso:
  - module: immutable.compose.image_info
"""

EXAMPLES = r"""
- name: Look for a vulnerable package
  immutable.compose.audit_info:
    advisories:
      - id: CVE-2023-41915
        package: [openpmix, pmix, libpmix2]
        versions: ["< 4.2.6", ">= 5.0.0 < 5.0.1"]
  register: compose_audit
  run_once: true
  delegate_to: localhost

- name: Look for all that a file lists
  immutable.compose.audit_info:
    advisories: advisories.json
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
nodes:
  description: By name of each node that exists, whether it is C(ok), its C(image), and a C(message) that says what
    affects it.
  type: dict
  returned: success
failed_nodes:
  description: Nodes that are affected, or whose image is not known here.
  type: list
  elements: str
  returned: success
deployments:
  description: The result of each deployment, by its name.
  type: dict
  returned: success
  contains:
    NAME:
      description: That of one deployment.
      type: dict
      returned: success
      contains:
        affected:
          description: Whether anything is affected.
          type: bool
          returned: success
        findings:
          description: Each affected version of a package, and where it is.
          type: list
          elements: dict
          returned: success
          sample:
            - advisory: CVE-2023-41915
              package: openpmix
              version: 4.2.2
              roles: [server]
              images: [0c0fmz9y1ypxkgm4x9rl6dv0w3pgmrm7-pmix-server]
              releases: [1, 2]
              nodes: [server]
        unknown:
          description: What could not be looked at, and why.
          type: list
          elements: str
          returned: success
        table:
          description: All of this for people, as lines.
          type: list
          elements: str
          returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the audit."""
    run_step("audit", {"advisories": {"type": "raw", "required": True}})


if __name__ == "__main__":
    main()
