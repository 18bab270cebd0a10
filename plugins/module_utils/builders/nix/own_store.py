# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Nix store of a user who is not root, for builds with many users. PRIVATE to the collection.

A Nix daemon gives a build a single user, and takes nothing from users that it did not build. But every user of Debian
is lent numbers of other users, which are nobody's (subuid(5)): with these the user is root in a user namespace, where a
directory of the user's lies in place of the store. Paths, and with them identities, are those of every other store.
"""

from __future__ import annotations

import getpass
import os
import shutil
import typing as t
from dataclasses import dataclass

from ...errors import CommandError, ComposeError
from ...process import need, run

#: Seconds until it can be entered; and for Nix to say what it is made of.
_SECONDS = 60

# OWN STORE PATH... -- COMMAND...: runs the command with OWN/store in place of STORE, the paths of which stay.
_ENTER = r"""
set -eu
own=$1 store=$2
shift 2
while [ "$1" != -- ]; do
  there=$own/store/${1##*/}
  if [ -d "$1" ]; then mkdir -p "$there"; elif [ ! -e "$there" ]; then : >"$there"; fi
  mount --bind "$1" "$there"
  shift
done
shift
mount --rbind "$own/store" "$store"
exec "$@"
"""


@dataclass(frozen=True)
class OwnStore:
    """The store of whoever runs this."""

    #: Where it lies.
    directory: str

    @classmethod
    def of_user(cls) -> OwnStore:
        """The one for all deployments of this user."""
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        return cls(os.path.join(data, "immutable-compose", "nix"))

    def enter(self, command: t.Sequence[str]) -> list[str]:
        """The command, in the namespace where this is the store; see :meth:`make`."""
        namespace = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount"]
        return [*namespace, "sh", "-c", _ENTER, "sh", self.directory, _store(), *_nix_itself(), "--", *command]

    @property
    def environment(self) -> dict[str, str]:
        """What Nix has to know there."""
        state = os.path.join(self.directory, "var")
        return {"NIX_REMOTE": "local", "NIX_STATE_DIR": state, "NIX_LOG_DIR": os.path.join(state, "log")}

    def file(self, path: str) -> str:
        """Where something in the store lies, for those who are not in the namespace."""
        return os.path.join(self.directory, "store", os.path.relpath(path, _store()))

    def make(self) -> None:
        """Make the directory, if it is not there.

        :raises ComposeError: it cannot be entered; says what to do.
        """
        need("newuidmap", "newgidmap", "unshare")
        if not os.path.isdir(_store()):
            raise ComposeError(
                f"{_store()} does not exist: a user's own store is mounted there. As root, once: install -d -m 755 "
                f"{os.path.dirname(_store())} {_store()}"
            )
        try:
            os.makedirs(os.path.join(self.directory, "store"), exist_ok=True)
        except OSError as error:
            raise ComposeError(
                f"{error.filename}: {error.strerror}; the Nix store of a user who is not root lies there, or below "
                "$XDG_DATA_HOME"
            ) from None
        try:
            run(self.enter(["true"]), timeout=_SECONDS)
        except CommandError as error:
            said = (error.output.strip().splitlines() or [str(error)])[-1]
            user = getpass.getuser()
            remedy = f"usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {user}"
            raise ComposeError(
                f"{user}, who is not root, cannot build Debian images: {said}. Builds need many users, which "
                f"/etc/subuid and /etc/subgid have to lend. As root, once: {remedy}; or run the playbook as root"
            ) from None


def _store() -> str:
    return os.environ.get("NIX_STORE_DIR", "/nix/store")


def _nix_itself() -> list[str]:
    """The paths of the store that Nix itself is made of, where it lies in one."""
    program = os.path.realpath(shutil.which("nix-store") or "")
    if not program.startswith(_store() + os.sep):
        return []
    path = os.sep.join(program.split(os.sep)[: _store().count(os.sep) + 2])
    return run(["nix-store", "--query", "--requisites", path], timeout=_SECONDS).stdout.split()
