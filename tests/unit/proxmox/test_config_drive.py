"""The disk with the node document, read by programs that did not write it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.config_drive import config_drive

from ..model.samples import document

DOCUMENT = document(Node("server", "server"), secrets={"token": "é\n\0"})


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("size", [0, 5_000, 3_000_000])
def test_the_document_is_read_back(tmp_path: Path, size: int) -> None:
    disk = tmp_path / "disk.raw"
    told = replace(DOCUMENT, parameters={"text": "x" * size})
    disk.write_bytes(config_drive(told))
    assert output("blkid", "--probe", "--match-tag", "LABEL", "--output", "value", disk) == "COMPOSE-NODE\n"
    # Linux calls it node.json.
    assert json.loads(output("isoinfo", "-i", disk, "-x", "/NODE.JSON;1")) == codec.encode(told)
    assert disk.stat().st_size % (1 << 20) == 0


def test_the_same_document_is_the_same_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    before = config_drive(DOCUMENT)
    monkeypatch.setattr(time, "time", lambda: now + 40_000_000)
    assert config_drive(replace(DOCUMENT)) == before
    assert config_drive(replace(DOCUMENT, name="other")) != before


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycdlib", None)
    with pytest.raises(ComposeError, match="pycdlib"):
        config_drive(DOCUMENT)
