# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checklist for collections of the package ``ansible`` asks for, as far as a file can have it.

https://docs.ansible.com/ansible/latest/community/collection_contributors/collection_requirements.html
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

SECTIONS = [
    "Communication",
    "Tested with",
    "External requirements",
    "Included content",
    "Using this collection",
    "Release notes",
    "More information",
    "Licensing",
]
FILES = [
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "LICENSES/GPL-3.0-or-later.txt",
    "MAINTAINERS",
    "REUSE.toml",
    "docs/docsite/extra-docs.yml",
    "docs/docsite/links.yml",
    "meta/runtime.yml",
]
#: What stands for something that nobody has filled in: domains kept for examples, and the words of templates.
PLACEHOLDER = re.compile(r"example\.(?:org|com|net)|TODO|FIXME|CHANGEME|REPONAME|your[_ -]?name", re.IGNORECASE)
OWNERS = ["galaxy.yml", "README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "MAINTAINERS", "docs/docsite/links.yml"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_has_the_sections_in_their_order() -> None:
    headings = re.findall(r"^## (.+)$", read("README.md"), re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS


@pytest.mark.parametrize("name", FILES)
def test_files_are_there(name: str) -> None:
    assert read(name).strip()


@pytest.mark.parametrize("name", OWNERS)
def test_nothing_stands_for_what_the_owner_has_to_enter(name: str) -> None:
    assert PLACEHOLDER.findall(read(name)) == []


def test_what_the_owner_has_to_enter_is_listed() -> None:
    page = read("docs/publishing.md")
    metadata = yaml.safe_load(read("galaxy.yml"))
    addresses = ("repository", "issues", "documentation", "homepage")
    assert [key for key in addresses if key not in metadata and f"`{key}`" not in page] == []


def core(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.removeprefix("stable-").split(".")))


def test_ci_has_every_supported_ansible_core_and_devel() -> None:
    workflow: t.Any = yaml.safe_load(read(".github/workflows/ci.yml"))
    cells = workflow["jobs"]["matrix"]["strategy"]["matrix"]["include"]
    named = {cell["core"] for cell in cells}
    oldest = core(re.findall(r">=(\d+\.\d+)", read("meta/runtime.yml"))[0])
    newest = max(core(found) for found in re.findall(r"\[3\.\d+\]=(2\.\d+)", read("tests/tools/setup.sh")))
    assert named == {f"stable-2.{minor}" for minor in range(oldest[1], newest[1] + 1)} | {"devel"}
    for command in ("tests/tools/matrix.sh", ".ci/run"):
        assert command in read(".github/workflows/ci.yml")
        assert (ROOT / command).stat().st_mode & 0o111
