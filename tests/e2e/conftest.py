# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs, and the end of what they started."""

from __future__ import annotations

import typing as t

import pytest
from example import Example
from lab import PATIENCE, Lab
from story import bring_those_before
from tiny import Tiny, tiny

#: These files take longest: started last, one of them would leave the other processes of pytest without work.
LONGEST = ("test_proxmox.py", "test_demo.py", "test_web.py", "test_killed.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    bring_those_before(items)


@pytest.fixture(scope="module")
def lab_of(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[..., Lab]]:
    """Makes labs, and destroys what they started."""
    labs: list[Lab] = []

    def make(name: str, composition: str, **deployment: t.Any) -> Lab:
        lab = Lab(tmp_path_factory.mktemp(name), composition, deployment)
        labs.append(lab)
        return lab

    yield make
    _destroy(labs)


@pytest.fixture(scope="module")
def tiny_of(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[..., Tiny]]:
    """Makes labs with two small deployments, and destroys what they started."""
    labs: list[Lab] = []

    def make(one: t.Any, two: t.Any, **settings: t.Any) -> Tiny:
        lab = tiny(tmp_path_factory.mktemp("tiny"), one, two, **settings)
        labs.append(lab)
        return lab

    yield make
    _destroy(labs)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Example]:
    """The example that the file is named after, ``test_NAME.py``."""
    name = request.path.stem.removeprefix("test_")
    example = Example(tmp_path_factory.mktemp(name), name)
    yield example
    _destroy([example])


def _destroy(labs: t.Iterable[Lab]) -> None:
    for lab in labs:
        process = lab.start("destroy", "-e", '{"compose_data": true}')
        output, _errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, output
