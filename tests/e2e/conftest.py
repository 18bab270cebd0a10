# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs, and the end of what they started."""

from __future__ import annotations

import typing as t

import pytest
from lab import Lab


@pytest.fixture(scope="module")
def lab_of(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[..., Lab]]:
    """Makes labs, and destroys what they started."""
    labs: list[Lab] = []

    def make(name: str, composition: str, **deployment: t.Any) -> Lab:
        lab = Lab(tmp_path_factory.mktemp(name), composition, deployment)
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        process = lab.start("destroy", "-e", '{"compose_data": true}')
        output, _errors = process.communicate(timeout=300)
        assert process.returncode == 0, output
