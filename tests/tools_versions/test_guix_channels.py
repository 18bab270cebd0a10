"""Pinned channels, with a Guix that ``guix time-machine`` finds built already: to build one takes a network."""

from __future__ import annotations

import secrets
import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import DATA, MakeBuilder, guix

COMMIT = secrets.token_hex(20)


def pin(composition: Path, commit: str) -> None:
    (composition / "channels.scm").write_text(
        f'(list (channel (name \'guix) (url "{composition}/nosuch") (branch "master") (commit "{commit}")))'
    )


@pytest.fixture
def pinned(composition: Path, tmp_path: Path) -> t.Iterator[Path]:
    """The composition with a channel, and a Guix in the cache of ``time-machine`` that notes its calls."""
    pin(composition, COMMIT)
    directory = Path(guix("repl", "--", str(DATA / "inferior.scm"), COMMIT))
    (directory / "bin").mkdir(parents=True)
    program = directory / "bin/guix"
    program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\nexec /usr/bin/guix "$@"\n')
    program.chmod(0o755)
    yield composition
    shutil.rmtree(directory)


def test_the_pinned_guix_evaluates_with_stub_output_of_guix(builder: MakeBuilder, pinned: Path, tmp_path: Path) -> None:
    identity = builder().identify(str(pinned), {}, ["client"], ["qcow2"])
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("system image -d -t qcow2 ")
    assert builder().evaluate(str(pinned), {}).lock is not None
    (pinned / "channels.scm").unlink()
    assert builder().identify(str(pinned), {}, ["client"], ["qcow2"]) == identity
    assert builder().evaluate(str(pinned), {}).lock is None


def test_a_channel_that_cannot_be_fetched_is_told(builder: MakeBuilder, composition: Path) -> None:
    pin(composition, secrets.token_hex(20))
    with pytest.raises(ComposeError) as error:
        builder().identify(str(composition), {}, ["client"], ["qcow2"])
    assert error.value.failure is not None
    assert error.value.failure.kind == "fetch", error.value.failure


def test_a_channel_file_with_a_fault_is_told_with_its_place(builder: MakeBuilder, composition: Path) -> None:
    (composition / "channels.scm").write_text('(list\n (channel (commit "0"')
    with pytest.raises(ComposeError) as error:
        builder().identify(str(composition), {}, ["client"], ["qcow2"])
    assert error.value.failure is not None
    assert error.value.failure.kind == "evaluation"
    assert error.value.failure.file.endswith("channels.scm")
    assert error.value.failure.line == 2
