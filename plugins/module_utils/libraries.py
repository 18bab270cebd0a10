# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to say where a Python library is missing: which, from which interpreter, on which host. PRIVATE."""

from __future__ import annotations

import importlib
import platform
import sys
import typing as t
from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Library:
    """A third-party library."""

    #: As pip knows it, with the lower bound.
    requirement: str
    #: The package that has it on Debian; empty: none.
    package: str = ""


#: Name by which it is imported → what it is. The lower bounds are those of requirements.txt.
LIBRARIES: t.Mapping[str, Library] = {
    "cryptography": Library("cryptography>=41.0", "python3-cryptography"),
    "cyclonedx": Library("cyclonedx-python-lib>=9.1"),
    "execo_engine": Library("execo>=2.8"),
    "grid5000": Library("python-grid5000>=1.2"),
    "jinja2": Library("jinja2>=3.0", "python3-jinja2"),
    "jsonschema": Library("jsonschema>=4.0", "python3-jsonschema"),
    "msgspec": Library("msgspec>=0.20", "python3-msgspec"),
    "packageurl": Library("packageurl-python>=0.15", "python3-packageurl"),
    "paramiko": Library("paramiko>=3.4", "python3-paramiko"),
    "proxmoxer": Library("proxmoxer>=2.3", "python3-proxmoxer"),
    "pyarrow": Library("pyarrow>=17"),
    "pycdlib": Library("pycdlib>=1.12", "python3-pycdlib"),
    "requests": Library("requests>=2.31", "python3-requests"),
    "requests_toolbelt": Library("requests-toolbelt>=1.0", "python3-requests-toolbelt"),
    "rich": Library("rich>=13.0", "python3-rich"),
    "spdx_tools": Library("spdx-tools>=0.8.2"),
    "vl_convert": Library("vl-convert-python>=1.7"),
    "websocket": Library("websocket-client>=1.6", "python3-websocket"),
    "yaml": Library("PyYAML", "python3-yaml"),
}


def missing_library(*names: str, what: str) -> InputError:
    """The error to raise where libraries cannot be imported.

    :param names: by which they are imported; those that can be are not named.
    :param what: needs them.
    """
    errors = {name: error for name in names if (error := _error(name))}
    lacking = list(errors) or list(names)
    libraries = [LIBRARIES.get(name, Library(name)) for name in lacking]
    is_, it = ("y {} is", "it") if len(lacking) == 1 else ("ies {} are", "them")
    named = f"the Python librar{is_}".format(", ".join(map(repr, lacking)))
    # Of a library that is there, what it needs itself.
    others = [
        f" ({name}: {error})" for name, error in errors.items() if str(error) and getattr(error, "name", "") != name
    ]
    python = sys.executable or "python3"
    pip = " ".join(f"'{library.requirement}'" for library in libraries)
    packages = [library.package for library in libraries if library.package]
    debian = f" (for Debian's own Python: apt install {' '.join(packages)})" if len(packages) == len(libraries) else ""
    return InputError(
        f"{named} missing{''.join(others)} from {python} on {platform.node()}, the interpreter of this step; {what} "
        f"needs {it} there. Install: {python} -m pip install {pip}{debian}. Another interpreter of that host is chosen "
        "with ansible_python_interpreter"
    )


def _error(name: str) -> BaseException | None:
    """Why a library cannot be imported; nothing if it can."""
    try:
        importlib.import_module(name)
    except (ImportError, SystemExit) as error:  # some end the process
        return error
    return None
