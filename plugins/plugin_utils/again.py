# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Further runs of ``ansible-playbook``, with the sources and options of this one. PRIVATE to the collection."""

from __future__ import annotations

import ctypes
import re
import signal
import sys
import typing as t

from ansible import context

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed, run

#: Seconds for one of them: every step of a deployment has an end of its own.
LONGEST = 7 * 24 * 3600.0
#: ``PR_SET_PDEATHSIG`` of prctl(2): a signal at the end of the parent.
_PDEATHSIG = 1
#: Option of this run → the same of a further one; those that may be given several times are lists.
_OPTIONS = {
    "inventory": "--inventory",
    "vault_ids": "--vault-id",
    "vault_password_files": "--vault-password-file",
    "extra_vars": "--extra-vars",
    "private_key_file": "--private-key",
    "remote_user": "--user",
    "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
    "ssh_common_args": "--ssh-common-args",
    "ssh_extra_args": "--ssh-extra-args",
}
#: Options for which somebody has to type.
_ASKS = {"ask_vault_pass": "--ask-vault-pass", "become_ask_pass": "--ask-become-pass", "ask_pass": "--ask-pass"}
#: Source of a vault password that asks: ``LABEL@prompt``.
_PROMPT = re.compile(r"(.*@)?prompt(_ask_vault_pass)?")


def options() -> list[str]:
    """The options of this run that concern any. :raises InputError: a password would have to be typed each time."""
    given: t.Mapping[str, t.Any] = context.CLIARGS
    asking = [option for key, option in _ASKS.items() if given.get(key)]
    asking += [f"--vault-id {each}" for each in given.get("vault_ids") or () if _PROMPT.fullmatch(each)]
    if asking:
        raise InputError(
            f"{asking[0]}: each trial is an ansible-playbook of its own, which cannot ask for a password; expected "
            f"it in a file, such as --vault-password-file"
        )
    found = []
    for key, option in _OPTIONS.items():
        values = given.get(key) or ()
        for value in [values] if isinstance(values, str) else values:
            found += [option, str(value)]
    return found


def end_with_run() -> None:
    """Let this process, a worker of Ansible's, end when its run is killed.

    Workers are in a session of their own: this one would go on with one run after the other, and nobody would know.
    """
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


def play(playbook: str, variables: str, deployment: str) -> Completed:
    """Run a playbook of the collection to its end; it ends when this process does.

    :param variables: file with extra variables.
    :param deployment: whose hosts are acted on, and no others.
    """
    command = [
        *("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "ansible", "playbook"),
        *options(),
        *("--extra-vars", f"@{variables}", "--limit", f"deployment_{deployment.replace('-', '_')}"),
        f"immutable.compose.{playbook}",
    ]
    return run(command, timeout=LONGEST, env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}, check=False)
