# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has decided and done so far, in ``<state>/journal.json``: handed from step to step. PRIVATE.

The steps are tasks of their own, on the builder host; what one of them found out need not travel to the controller and
back. The journal belongs to the run that holds the lease.
"""

from __future__ import annotations

import os

from ..errors import ComposeError
from ..model import codec
from ..model.journal import Journal


class JournalFile:
    """The journal of a deployment.

    :param state: the deployment's directory.
    """

    def __init__(self, state: str) -> None:
        self._path = os.path.join(state, "journal.json")

    def write(self, journal: Journal) -> None:
        codec.write(self._path, journal)

    def read(self) -> Journal:
        """:raises ComposeError: the run has made no plan."""
        try:
            return codec.read(Journal, self._path)
        except FileNotFoundError:
            raise ComposeError("there is no plan of this run: deployment_plan with 'hold: true' comes first") from None

    def drop(self) -> None:
        if os.path.exists(self._path):
            os.unlink(self._path)
