# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Say what is inside an image
version_added: 0.1.0
description:
  - Reads the C(image.json) of an image bundle; see C(docs/formats.md). Needs neither the image's files nor its builder.
  - Compares the packages of two images.
author: immutable.compose contributors (@immutable-compose)
requirements:
  - msgspec
extends_documentation_fragment:
  - immutable.compose.attributes.diff
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: Changes nothing in any mode. Says C(changed) if and only if the packages of two images differ and the task
      asks for a diff, because Ansible shows one only then.
options:
  path:
    description: Bundle of the image, or the C(image.json) in it. Those of a deployment are C(roots/IDENTITY) in its
      state directory.
    type: path
    required: true
  compare_to:
    description: Bundle of another image, the older one.
    type: path
seealso:
  - module: immutable.compose.image_sbom
  - module: immutable.compose.deployment_plan
"""

EXAMPLES = r"""
- name: Read what is in an image
  immutable.compose.image_info:
    path: /var/lib/immutable-compose/web/roots/{{ identity }}
  register: info

- name: Compare the images of two releases
  immutable.compose.image_info:
    path: "{{ bundle }}"
    compare_to: "{{ older_bundle }}"
  diff: true
"""

RETURN = r"""
image:
  description: Content of C(image.json), with RV(image.bundle), and RV(image.packages) always as a list.
  type: dict
  returned: success
  contains:
    role:
      description: Role of the composition.
      type: str
      returned: success
    builder:
      description: What built it.
      type: str
      returned: success
    identity:
      description: What identifies the image.
      type: str
      returned: success
    architecture:
      description: Architecture of the machines that it is for.
      type: str
      returned: success
    bundle:
      description: Directory with the image's files.
      type: str
      returned: success
    formats:
      description: File, size in bytes and SHA-256 of each format.
      type: dict
      returned: success
    packages:
      description: Name, version, path in the store of Nix or Guix, and source package of each package; the last two are
        empty where there is none.
      type: list
      elements: dict
      returned: success
changes:
  description: Packages that differ from O(compare_to), by name, with the old and the new version; null where a side
    lacks the package. Several versions of one package in an image are joined by commas.
  type: dict
  returned: with O(compare_to)
  sample: {"nginx": ["1.22.1-9+deb12u3", "1.22.1-9+deb12u4"], "tree": [null, "2.1.0-1"]}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.images.inspect import inspect
from ansible_collections.immutable.compose.plugins.module_utils.model import codec


def main() -> None:
    """Wire the module's arguments to the bundles."""
    module = AnsibleModule(
        {"path": {"type": "path", "required": True}, "compare_to": {"type": "path"}}, supports_check_mode=True
    )
    try:
        result = inspect(module.params["path"], module.params["compare_to"], diff=module._diff)
    except ComposeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**codec.encode(result))


if __name__ == "__main__":
    main()
