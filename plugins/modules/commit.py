# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: commit
short_description: Mark what runs as verified, and record the release
version_added: 0.1.0
description:
  - From now on a revert returns to what runs now.
  - Retires nodes that the plan listed so, forgets releases beyond the kept ones, and staged images that nothing needs.
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.fleet
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: partial
    details: In check mode the module does nothing and predicts nothing; the plan has said what would happen.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  plan:
    description: What M(immutable.compose.plan) returned.
    type: dict
    required: true
  checks:
    description: The C(checks) that M(immutable.compose.verify) returned.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Commit
  immutable.compose.commit:
    plan: "{{ compose_plan }}"
    checks: "{{ compose_verify.checks }}"
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
release:
  description: Number of the release that runs now.
  type: int
  returned: success
retired:
  description: Nodes that were retired.
  type: list
  elements: str
  returned: success
summary:
  description: What runs now and how to log in, for people.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.immutable.compose.plugins.module_utils.deploy.step import run_step


def main() -> None:
    """Wire the module's arguments to the engine."""
    run_step(
        "commit",
        lambda engine, module: engine.commit(module.params["plan"], module.params["checks"]),
        {"plan": {"type": "dict", "required": True}, "checks": {"type": "dict", "default": {}}},
    )


if __name__ == "__main__":
    main()
