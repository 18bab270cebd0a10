"""What is said where a Python library is missing."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe import role_schema
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.libraries import LIBRARIES, missing_library
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import (
    access,
    client,
    config_drive,
)

ROOT = Path(__file__).resolve().parents[2]


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Importing these fails, as if they were not installed."""
    for name in names:
        for loaded in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)


def test_it_names_library_interpreter_host_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "pycdlib")
    with pytest.raises(ComposeError) as told:
        config_drive.config_drive({"name": "web1"})
    words = told.value.message
    assert "the Python library 'pycdlib' is missing" in words
    assert f"missing from {sys.executable} on {platform.node()}" in words and "(platform 'proxmox') needs it" in words
    assert f"{sys.executable} -m pip install 'pycdlib>=1.12'" in words and "python3-pycdlib" in words


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "requests_toolbelt")
    monkeypatch.setattr(client, "HAS_PROXMOXER", False)
    with pytest.raises(ComposeError, match="the Python library 'requests_toolbelt' is missing .*'requests-toolbelt"):
        client.Client(access.Access("pve1", token_id="a@pve!b", token_secret="c"))
    without(monkeypatch, "proxmoxer")
    with pytest.raises(ComposeError, match="the Python libraries 'proxmoxer', 'requests_toolbelt' are missing"):
        client.Client(access.Access("pve1", token_id="a@pve!b", token_secret="c"))


def test_on_the_controller_too(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "jsonschema")
    with pytest.raises(ComposeError, match=f"'jsonschema' is missing from {sys.executable} on "):
        role_schema.check_composition({}, "composition.nix", "debian")


def test_a_library_that_is_there_but_lacks_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.py").write_text("import no_such_thing")
    monkeypatch.syspath_prepend(tmp_path)
    assert "'half' is missing (half: No module named 'no_such_thing') from" in missing_library("half", what="x").message


def test_bounds_are_those_of_the_requirements() -> None:
    files = ("requirements.txt", "requirements-sbom.txt", "requirements-experiment.txt")
    lines = "".join((ROOT / name).read_text() for name in files)
    wanted = set(re.findall(r"^([\w.-]+>=[\d.]+)", lines, re.MULTILINE))
    assert wanted == {library.requirement for library in LIBRARIES.values()} - {"PyYAML"}
