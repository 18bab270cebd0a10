# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``kadeploy_pretended``: ``kadeploy`` with machines that the stand-in only pretends to boot. For benchmarks.

There is no SSH to them, so a node is what it was last told to boot.
"""

from __future__ import annotations

import re

from ..nodes.endpoint import Endpoint
from ..nodes.output import Output
from .kadeploy.platform import Kadeploy
from .ledger import Ledger


class KadeployPretended(Kadeploy):
    """See the module."""

    name = "kadeploy_pretended"

    def addresses(self, nodes):
        numbers = {node.name: int(re.sub(r"\D", "", self._bound[node.name])) for node in nodes}
        return {name: f"10.158.{number >> 8}.{number & 255}" for name, number in numbers.items()}

    def endpoint(self, node):
        return Endpoint("127.0.0.1")

    def shell(self, node):
        return self._connection(node)

    def _connection(self, node):
        boot = Ledger(self.state, node.name).readable()[0]
        return Shell(boot.image.identity if boot else "nothing")


class Shell:
    """What a node that is well answers."""

    last_error = ""

    def __init__(self, identity):
        self.identity = identity

    def open(self, timeout):
        pass

    def run(self, command, timeout):
        return Output(0, f"identity {self.identity}\nup 3600 20\nstate running\n".encode(), b"")

    def close(self):
        pass
