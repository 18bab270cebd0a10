# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where OAR is."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment ``immutable.compose.oar``."""

    DOCUMENTATION = r"""
requirements:
  - msgspec
  - The commands of OAR on the host of the task, or C(ssh) and O(frontend), for O(interface=command)
  - requests for O(interface=rest)
  - python-grid5000 for O(interface=grid5000)
options:
  interface:
    description:
      - How OAR is asked.
      - V(command) runs C(oarsub), C(oarstat), C(oardel) and C(oarwalltime), V(rest) calls OAR's own REST API, and
        V(grid5000) the API of Grid'5000.
    type: str
    choices: [command, rest, grid5000]
    default: command
  frontend:
    description:
      - Host that has OAR's commands, reached by the C(ssh) of the task's host, as C(HOST), C(USER@HOST) or
        C(ssh://USER@HOST:PORT). Names, keys, jump hosts and known hosts are those of the user's own C(ssh). The default
        is the host of the task itself.
      - Nobody is asked for a password, and a host that is not in C(known_hosts) is refused.
    type: str
  ssh_config:
    description: Configuration of C(ssh) for O(frontend), instead of the user's own.
    type: path
  url:
    description: Address of the API. Required for O(interface=rest). For O(interface=grid5000) the default is
      V(https://api.grid5000.fr/stable).
    type: str
  site:
    description: Site of Grid'5000. Required for O(interface=grid5000).
    type: str
  username:
    description: Who logs in to the API. The default is nobody, where the API knows who calls, as it does inside
      Grid'5000.
    type: str
  password:
    description: Password of O(username).
    type: str
  ca_file:
    description: Certificates of the authorities that may have signed that of the API. The default is those of the host.
    type: path
"""
