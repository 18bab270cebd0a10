# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nxc_export
short_description: Write a deployment as the tools of NixOS Compose read it
version_added: 0.2.0
description:
  - Writes a deployment file C(deploy/COMPOSITION::FLAVOUR.json), in the form of the flavour, and a role distribution
    C(nodes.json), so that C(nxc connect), C(nxc driver), C(nxc helper) and scripts that read these files work with the
    nodes of this deployment.
  - Says the system of each node only where the deployment was built by the builder V(nxc).
author: immutable.compose contributors (@immutable-compose)
extends_documentation_fragment:
  - immutable.compose.attributes.check
  - immutable.compose.attributes.no_diff
  - immutable.compose.fleet
options:
  directory:
    description: Where to write, on the host that runs the deployment. By default C(nxc) in the state directory.
    type: path
  flavour:
    description:
      - Flavour of NixOS Compose that the files are for. By default V(vm) for the platform V(qemu), V(docker) for
        V(podman), V(nspawn) for V(nspawn), and else V(g5k-ramdisk).
      - The tools reach nodes of the flavours V(g5k-ramdisk), V(g5k-nfs-store) and V(g5k-image) by SSH to their address,
        those of V(vm) and V(vm-ramdisk) at port 22021 plus their number on the loopback interface.
    type: str
    choices: [vm, vm-ramdisk, g5k-ramdisk, g5k-nfs-store, g5k-image, nspawn, docker]
"""

EXAMPLES = r"""
- name: Export
  immutable.compose.nxc_export:
    directory: /srv/experiment
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
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
        deployment_file:
          description: Path of the deployment file.
          type: str
          returned: success
          sample: /srv/experiment/deploy/composition::vm.json
        distribution_file:
          description: Path of the role distribution, with the roles whose nodes C(nxc) would name the same by their
            count.
          type: str
          returned: success
          sample: /srv/experiment/nodes.json
        distribution_options:
          description: Options for C(nxc start) with the roles whose nodes have other names, which a file cannot say.
          type: list
          elements: str
          returned: success
          sample: ["-r", "server=nfs"]
"""

from ansible_collections.immutable.compose.plugins.module_utils.fleet_module import run_step


def main() -> None:
    """Wire the module's arguments to the export."""
    flavours = ["vm", "vm-ramdisk", "g5k-ramdisk", "g5k-nfs-store", "g5k-image", "nspawn", "docker"]
    run_step("nxc_export", {"directory": {"type": "path"}, "flavour": {"type": "str", "choices": flavours}})


if __name__ == "__main__":
    main()
