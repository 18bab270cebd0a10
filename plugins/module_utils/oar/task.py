# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules about OAR have in common: their options, errors and results. PRIVATE to the collection."""

from __future__ import annotations

import os
import signal
import types
import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ..errors import ComposeError
from ..model import codec
from .access import INTERFACES, Access
from .desk import Interrupted
from .results import Listed, Reserved

#: Options that say where OAR is.
ACCESS_SPEC: dict[str, t.Any] = {
    "interface": {"type": "str", "choices": list(INTERFACES), "default": "command"},
    "frontend": {"type": "str"},
    "ssh_config": {"type": "path"},
    "url": {"type": "str"},
    "site": {"type": "str"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "ca_file": {"type": "path"},
}


def run(module: AnsibleModule, act: t.Callable[[], Reserved | Listed]) -> None:
    """The body of a module: its result, or why there is none.

    Whoever ends the process lets it say what it leaves.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        codec.library()  # or it would be missed when OAR has answered already, with a job
        result = act()
    except ComposeError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{type(error).__name__}: {error}")
    module.exit_json(**asdict(result))


def access(params: t.Mapping[str, object]) -> Access:
    """Where OAR is, by the module's options."""
    return Access(**{name: str(params[name] or "") for name in ACCESS_SPEC})


def _interrupted(number: int, frame: types.FrameType | None) -> None:
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(f"interrupted by {signal.Signals(number).name} (process {os.getpid()})")
