# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds documents against schemas is shared with the end-to-end tests; ansible-test does not look there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e"))
