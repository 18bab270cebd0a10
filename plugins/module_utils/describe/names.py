# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are valid. PRIVATE to the collection."""

from __future__ import annotations

import re

#: A host name label after RFC 1123, lower case; at most 63 characters.
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

#: What a role may be called; it is part of the names of files and images.
ROLE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")


def is_role_name(name: str) -> bool:
    """Whether a role can have this name."""
    return ROLE_NAME.fullmatch(name) is not None


def label_of(name: str) -> str:
    """The label that stands for a name of people's own: lower case, and dashes for what labels do not have.

    ``examon_broker`` is ``examon-broker``, ``webServer`` is ``webserver``, ``gamma.tld`` is ``gamma-tld``. What comes
    out may be no host name all the same: empty, or too long.
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") if not is_host_name(name) else name


def is_host_name(name: str) -> bool:
    """Whether ``name`` is one valid host name label."""
    return HOST_NAME.fullmatch(name) is not None


def is_node_name(name: str) -> bool:
    """Whether a host of that name can be a node: one host name label, or several with dots between (no address)."""
    labels = name.split(".")
    return len(name) <= 253 and all(map(is_host_name, labels)) and (len(labels) == 1 or not labels[-1].isdigit())
