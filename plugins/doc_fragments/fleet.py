# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet modules have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment ``immutable.compose.fleet``."""

    DOCUMENTATION = r"""
notes:
  - Runs once per batch (C(run_once)), on the host that runs the deployment (C(delegate_to), usually C(localhost)), for
    all nodes of the batch at once. The action plugin of the same name fills in the options below from the inventory.
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
  deployment:
    description: The deployment, as the inventory says it. Filled in by the action plugin.
    type: dict
    required: true
  secrets:
    description: Secrets of each node, by name. Filled in by the action plugin.
    type: dict
    default: {}
  credentials:
    description: What logs in to the platform's own service. Filled in by the action plugin, from the environment of the
      controller and the variable C(compose_credentials).
    type: dict
    default: {}
  batch:
    description: Names of the nodes to act on. Filled in by the action plugin.
    type: list
    elements: str
    required: true
  support:
    description: Data files of the collection. Filled in by the action plugin.
    type: dict
    required: true
  composition_source:
    description: The composition, where this host does not have it. Filled in by the action plugin.
    type: dict
  progress_file:
    description: File for lines of progress. Filled in by the action plugin.
    type: path
"""
