# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment file beside its script."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

SCRIPT = 'record("speed", clients * 2.0, "MB/s")\n'
EXPERIMENT: dict[str, t.Any] = {
    "deployment": "lab",
    "script": "measure.py",
    "changes": {"roles": {"client": "$clients"}},
    "sweep": {"clients": [1, 2], "block": ["4k", "1M"]},
}


@pytest.fixture
def write(tmp_path: Path) -> t.Callable[..., str]:
    """Writes the two files; returns the path of the first."""

    def written(text: str = f"{SCRIPT}print(block)", name: str = "fs", **changes: t.Any) -> str:
        content = {key: value for key, value in {**EXPERIMENT, **changes}.items() if value is not None}
        (tmp_path / "measure.py").write_text(text)
        path = tmp_path / f"{name}.experiment.yml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return str(path)

    return written
