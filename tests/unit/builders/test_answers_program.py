"""Whether packages ask what a role answers, and take such an answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import REPOSITORY

TEMPLATES = """Template: mail/type
Type: select
Choices: No configuration, Internet Site, Local\\, only
Choices-de.UTF-8: Keine, Alle
Description: Which?
 Choices: none

Template: mail/fast
Type: boolean
Description: Fast?

Template: mail/host
Type: select
Choices: ${found}

Template: mail/password
Type: password
"""
CONFIG = "Name: mail/again\nTemplate: mail/password\n\nName: mail/fast\nTemplate: mail/fast\nValue: true\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two packages: one of them registers questions as it is installed."""
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "mail:amd64.list").touch()
    (info / "mail:amd64.templates").write_text(TEMPLATES)
    (info / "web.list").touch()
    (info / "web.config").write_text(". /usr/share/dbconfig-common/dpkg/config\n")
    (tmp_path / "var/cache/debconf").mkdir(parents=True)
    (tmp_path / "var/cache/debconf/config.dat").write_text(CONFIG)
    return tmp_path


def said(root: Path, answer: str) -> str:
    (root / "answers").write_text(f"{answer}\n")
    command = ["perl", str(REPOSITORY / "nix/debian/build/answers.pl"), str(root), str(root / "answers")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == bool(done.stderr)
    return done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        "mail mail/type select Internet Site",
        "mail mail/type select Local, only",
        "mail mail/fast boolean true",
        "mail mail/host select whatever",
        "web web/dbconfig-install boolean true",
        "absent absent/question boolean perhaps",
    ],
)
def test_what_is_answered(root: Path, answer: str) -> None:
    assert said(root, answer) == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("mail mail/typ select Local", "mail/typ: mail asks nothing of that name"),
        ("mail mail/type select Internet", "mail/type: 'Internet' is none of No configuration, Internet Site"),
        ("mail mail/fast boolean yes", "mail/fast: 'yes' is neither true nor false"),
        ("mail mail/fast boolean", "mail/fast: '' is neither true nor false"),
        ("mail mail/fast string true", "mail/fast: its type is boolean, not string"),
        ("mail mail/password string secret", "mail/password: its type is password, not string"),
        ("mail mail/again string secret", "mail/again: its type is password, not string"),
    ],
)
def test_what_is_not_answered(root: Path, answer: str, why: str) -> None:
    assert said(root, answer).startswith(f"debconf: {why}")
