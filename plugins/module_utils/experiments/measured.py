# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the run of a trial hands back to the run of its experiment, in a file. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ..model import codec
from ..model.experiment import Measured
from ..model.report import Measurement, Provenance

#: In the directory of the trial.
_FILE = "measured.json"


@dataclass(frozen=True)
class _Node:
    ok: bool
    message: str = ""
    ignores_unknown: t.ClassVar[bool] = True


@dataclass(frozen=True)
class _Script:
    message: str = ""
    records: t.Sequence[Measurement] = ()
    files: t.Sequence[str] = ()
    provenance: Provenance | None = None
    ignores_unknown: t.ClassVar[bool] = True


@dataclass(frozen=True)
class _Ran:
    """Of the result of `deployment_verify`, what concerns a script."""

    nodes: t.Mapping[str, _Node]
    #: There is one.
    deployments: t.Mapping[str, _Script]
    ignores_unknown: t.ClassVar[bool] = True


def measured_by(result: t.Mapping[str, object]) -> Measured:
    """What a script has measured.

    :param result: of the task that ran it on one deployment, by `deployment_verify`.
    :raises InputError: it is no such result.
    """
    ran = codec.decode(_Ran, result, "result")
    bad = [node.message for node in ran.nodes.values() if not node.ok]
    (script,) = ran.deployments.values()
    message = script.message or "\n".join(dict.fromkeys(bad))
    return Measured(not bad and not message, message, script.records, script.files, script.provenance)


def write(measured: Measured, directory: str) -> None:
    """:raises OSError: names the file."""
    codec.write(os.path.join(directory, _FILE), measured)


def read(directory: str) -> Measured:
    """:raises ComposeError, OSError: the run has written nothing that can be read."""
    return codec.read(Measured, os.path.join(directory, _FILE), "measured")


def forget(directory: str) -> None:
    """What an earlier run has left is not of the one that begins."""
    try:
        os.unlink(os.path.join(directory, _FILE))
    except FileNotFoundError:
        return
