# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_sbom
short_description: Write the software bill of materials of an image
version_added: 0.1.0
description:
  - Writes the packages of an image, from the C(image.json) of its bundle, as CycloneDX 1.6 or SPDX 2.3, in JSON.
  - The same image gives the same file, whenever and wherever it is written.
author: immutable.compose contributors (@immutable-compose)
requirements:
  - jsonschema
  - cyclonedx-python-lib for O(format=cyclonedx)
  - spdx-tools and packageurl-python for O(format=spdx)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.diff
attributes:
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
    support: full
options:
  path:
    description: Bundle of the image, or the C(image.json) in it. Those of a deployment are C(roots/IDENTITY) in its
      state directory.
    type: path
    required: true
  dest:
    description: File to write. Its directory must exist.
    type: path
    required: true
  format:
    description: Format of the file.
    type: str
    choices: [cyclonedx, spdx]
    default: cyclonedx
seealso:
  - module: immutable.compose.image_info
"""

EXAMPLES = r"""
- name: Write what is in an image
  immutable.compose.image_sbom:
    path: /var/lib/immutable-compose/web/roots/{{ identity }}
    dest: "{{ playbook_dir }}/{{ identity }}.spdx.json"
    format: spdx
"""

RETURN = r"""
identity:
  description: Identity of the image.
  type: str
  returned: success
packages:
  description: How many packages the file lists.
  type: int
  returned: success
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.files import write_text
from ansible_collections.immutable.compose.plugins.module_utils.images.image import find_image
from ansible_collections.immutable.compose.plugins.module_utils.images.sbom import WRITERS


def write(path: str, dest: str, format_: str, *, dry: bool) -> dict[str, t.Any]:
    """Write the file unless it says the same already; returns the module's result."""
    if not os.path.isdir(os.path.dirname(os.path.abspath(dest))):
        raise InputError(f"dest: the directory of {dest} does not exist")
    if os.path.isdir(dest):
        raise InputError(f"dest: {dest} is a directory, expected a file")
    image = find_image(path)
    text = WRITERS[format_](image)
    old = ""
    if os.path.exists(dest):
        with open(dest, encoding="utf-8", errors="replace") as stream:
            old = stream.read()
    if text != old and not dry:
        write_text(dest, text, mode=0o644)
    diff = {"before_header": dest, "after_header": dest, "before": old, "after": text}
    return {
        "changed": text != old,
        "identity": image.identity,
        "packages": len(image.packages),
        "diff": [diff] if text != old else [],
    }


def main() -> None:
    """Wire the module's arguments to the writers."""
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "format": {"type": "str", "choices": sorted(WRITERS), "default": "cyclonedx"},
        },
        supports_check_mode=True,
    )
    try:
        result = write(
            module.params["path"], module.params["dest"], module.params["format"], dry=bool(module.check_mode)
        )
    except (ComposeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
