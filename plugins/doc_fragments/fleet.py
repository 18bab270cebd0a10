# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet modules have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment ``immutable.compose.fleet``."""

    DOCUMENTATION = r"""
notes:
  - Runs once per batch on the host that runs the deployment (C(delegate_to), usually C(localhost)), for all nodes of
    the batch at once. Without C(run_once), or under a strategy that does not know it, it is refused.
  - Each deployment of the batch is worked on by itself. The result of each is in C(deployments), by name; C(nodes) and
    C(failed_nodes) are about all of them. The task fails if it failed for every deployment.
  - An action plugin fills in the options below from the inventory.
requirements:
  - paramiko
  - cryptography
  - jsonschema
  - msgspec
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the
      controller.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
    support: full
options:
  parcel:
    description: File with what the inventory says about the deployment. Filled in by the action plugin.
    type: path
    required: true
"""
