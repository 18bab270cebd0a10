# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the design as data: composition, role, node, deployment. PRIVATE to the collection.

The types are in :mod:`..model`; they are known by these names to who has not moved there yet.
"""

from __future__ import annotations

from ..model.composition import Composition as Composition
from ..model.composition import Distribution as Distribution
from ..model.composition import Role as Role
from ..model.composition import Volume as Volume
from ..model.deployment import Deployment as Deployment
from ..model.deployment import Limit as Limit
from ..model.deployment import Node as Node
