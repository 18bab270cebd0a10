# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx makes the site of the pages that tests/tools/site.sh has put together."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

project = "immutable.compose"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
root_doc = "docs/index"
include_patterns = [
    *("*.md", "docs/**.md", "examples/**.md", "tests/**.md"),
    "collections/**.rst",
]
myst_heading_anchors = 6
html_theme = "sphinx_ansible_theme"
html_title = "immutable.compose"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False
html_show_sphinx = False
# The page that one opens is not the first one of the manual, whose links are those of its directory.
templates_path = ["templates"]
html_additional_pages = {"index": "index.html"}
# The menu has the pages that the first one names; links lead to the others. Blocks may be shortened, or in no language.
suppress_warnings = ["toc.not_included", "misc.highlighting_failure"]

ANSIBLE = "https://docs.ansible.com/projects/ansible/latest/"
#: Labels of Ansible's own documentation, which is not here: where they are there.
LABELS = {
    "action_plugins": "plugins/action.html",
    "ansible_collections.ansible.builtin.ssh_connection": "collections/ansible/builtin/ssh_connection.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
#: Links of Markdown to something beside the page.
LINK = re.compile(r"\[([^]]*)\]\(([^)#:\s]+)\)")


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Directories of the repository, which a site cannot list, are only named. The first page gets the menu."""
    directory = Path(app.srcdir, name).parent
    source[0] = LINK.sub(lambda link: link[1] if (directory / link[2]).is_dir() else link[0], source[0])
    if name == root_doc:
        source[0] += menu(source[0])


def menu(first: str) -> str:
    """The sections of the manual's first page, with the pages that they lead to."""
    sections = ["Begin", *re.split(r"^## (.+)$", first, flags=re.MULTILINE)]
    blocks = []
    for caption, text in zip(sections[::2], sections[1::2], strict=True):
        pages = dict.fromkeys(page.removesuffix(".md") for _text, page in LINK.findall(text) if page.endswith(".md"))
        if caption == "Reference":
            pages["/collections/index"] = None
        blocks.append("\n".join(("", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", "")))
    return "".join(blocks)


def elsewhere(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element) -> nodes.reference | None:
    """What is referred to in Ansible's own documentation."""
    page = LABELS.get(node["reftarget"])
    return page and nodes.reference("", "", shown, internal=False, refuri=ANSIBLE + page)


def home(app: Sphinx, page: str, template: str, context: dict[str, t.Any], doctree: nodes.document | None) -> None:
    """The name above all pages leads to the first page of the manual, and not to a server's."""
    context["theme_documentation_home_url"] = context["pathto"](root_doc)


def setup(app: Sphinx) -> None:
    app.connect("source-read", read)
    app.connect("missing-reference", elsewhere)
    app.connect("html-page-context", home)
