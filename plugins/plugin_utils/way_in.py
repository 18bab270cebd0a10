# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A way to nodes from a controller that is not the host that runs them. PRIVATE to the collection.

The files with which OpenSSH reaches the nodes of a deployment lie in its state directory, on ``compose_host``. A
controller elsewhere has them for one run: the addresses and host keys as they are there, a key of its own with a
certificate that the deployment's CA signs for an hour, and each connection is made from ``compose_host``.

They lie in Ansible's temporary directory, which only its user can read, and which Ansible removes when the run ends.
"""

from __future__ import annotations

import base64
import fcntl
import getpass
import os
import shlex
import socket
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import replace

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.connection.ssh import Connection as SSH
from ansible.plugins.loader import connection_loader
from ansible.vars.hostvars import HostVars

from ansible_collections.immutable.compose.plugins.module_utils.describe.values import Unchecked
from ansible_collections.immutable.compose.plugins.module_utils.files import write_text
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys, endpoints
from ansible_collections.immutable.compose.plugins.plugin_utils.connections import way_directory

#: Names of the controller itself.
HERE = ("localhost", "127.0.0.1", "::1")
#: Minutes that a certificate is valid for, and seconds after which there is another one. Connections outlive it.
VALIDITY = 60
RENEW = 30 * 60
#: Seconds for ``compose_host`` to answer, and those for which another fork takes its failure for granted.
ANSWER = 60
FAILED = 10

#: Standard input: the key to sign. Where the CA is not for whoever logs in, people's own keys have to do.
_SCRIPT = """\
umask 077
cd {state} 2>/dev/null && [ -r ssh_config ] && [ -r known_hosts ] || exit 0
d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
cat >"$d/id.pub"
if [ -r ca ]; then
  ssh-keygen -q -s ca -I {who} -n root -V -5m:+{validity}m "$d/id.pub" >&2 </dev/null || exit 1
fi
for f in known_hosts ssh_config "$d/id-cert.pub"; do
  if [ -e "$f" ]; then echo "== ${{f##*/}}"; base64 <"$f"; fi
done
"""


class Gate:
    """The host whose network has the nodes.

    :param name: of ``compose_host``.
    :param hostvars: of the running task. The variables of a host that the inventory does not know are none.
    :param context: of the running task, for what the command line says.
    :raises AnsibleConnectionFailure: it is not reached by SSH.
    """

    def __init__(self, name: str, hostvars: HostVars | None, context: PlayContext) -> None:
        self.name = name
        known = hostvars is not None and name in hostvars
        variables = t.cast(Unchecked, t.cast(HostVars, hostvars)[name]) if known else {}
        plugin = str(variables.get("ansible_connection") or constants.config.get_config_value("DEFAULT_TRANSPORT"))
        #: Nothing is between this controller and the nodes.
        self.is_here = name in HERE or plugin.rpartition(".")[2] == "local"
        if self.is_here:
            return
        self._user = ""
        if boolean(variables.get("ansible_become") or False, strict=False):
            self._user = str(variables.get("ansible_become_user") or "root")
        connection = connection_loader.get(plugin, context, None)
        if not isinstance(connection, SSH):
            raise AnsibleConnectionFailure(f"compose_host {name} is reached by {plugin}, and nodes behind it need ssh")
        known = constants.config.get_plugin_vars("connection", connection._load_name)
        given = {key: variables[key] for key in known if key in variables}
        keys = {"password": context.password, "timeout": context.timeout}
        connection.set_options(task_keys=keys, var_options={"inventory_hostname": name, **given})
        self._ssh = connection

    def run(self, command: str, data: str) -> str:
        """Output of a command with ``data`` as its standard input.

        :raises AnsibleConnectionFailure: says which host, and its last words.
        """
        try:
            code, said, error = t.cast(ConnectionBase, self._ssh).exec_command(
                f"timeout {ANSWER} {self._as_user(command)}", in_data=data.encode(), sudoable=False
            )
        except AnsibleError as problem:
            raise AnsibleConnectionFailure(
                f"compose_host {self.name}, through which nodes are reached: {problem}"
            ) from None
        if code:
            words = bytes(error or said).decode("utf-8", "replace").strip()
            raise AnsibleConnectionFailure(
                f"compose_host {self.name}, through which nodes are reached: {words} (exit code {code})"
            )
        return bytes(said).decode("utf-8", "replace")

    def before(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint as it is from here. ``%h`` and ``%p`` stay what they are there."""
        there = endpoint.proxy_command
        command = ("-W", "[%h]:%p") if there is None else ()
        host = str(self._ssh.get_option("host"))
        words = [bytes(word).decode() for word in self._without_password()._build_command(self._executable, "ssh")]
        # What is one % here is two in ProxyCommand.
        start = shlex.join(words).replace("%", "%%")
        way = [start, *command, shlex.quote(host)]
        if there is not None:
            way.append(shlex.quote(self._as_user(f"exec {there}")))
        return replace(endpoint, proxy_command=" ".join(way))

    def closed(self, why: str) -> AnsibleConnectionFailure:
        """It is no way, and why."""
        return AnsibleConnectionFailure(f"compose_host {self.name}, through which nodes are reached: {why}")

    @property
    def _executable(self) -> str:
        return str(self._ssh.get_option("ssh_executable"))

    def _without_password(self) -> SSH:
        """Nobody could be asked for it. The connection that is open already goes on to be used, if Ansible keeps it."""
        self._ssh._play_context = self._ssh._play_context.copy()
        self._ssh._play_context.password = None
        self._ssh.set_option("password", None)
        return self._ssh

    def _as_user(self, command: str) -> str:
        shell = shlex.join(["/bin/sh", "-c", command])
        return f"sudo -n -u {shlex.quote(self._user)} -- {shell}" if self._user else shell


def way_in(state: str, gate: Gate) -> str:
    """Path of an ``ssh_config`` for the nodes of a deployment, which all forks of the run share.

    :param state: directory of the deployment on the gate.
    :raises AnsibleConnectionFailure: the gate does not let us in, or has no such deployment.
    """
    directory = way_directory(state, gate.name)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    keys, failure = Keys(directory), os.path.join(directory, "failure")
    with _alone(directory):
        if _age(keys.ssh_config_file) < RENEW:
            return keys.ssh_config_file
        if _age(failure) < FAILED:
            with open(failure, encoding="utf-8") as stream:
                raise AnsibleConnectionFailure(stream.read())
        try:
            _fetch(state, gate, keys)
        except AnsibleConnectionFailure as error:
            write_text(failure, str(error))
            raise
    return keys.ssh_config_file


def _fetch(state: str, gate: Gate, keys: Keys) -> None:
    script = _SCRIPT.format(state=shlex.quote(state), who=shlex.quote(whoami()), validity=VALIDITY)
    files: dict[str, str] = {}
    for part in gate.run(script, keys.login_public_key() + "\n").split("== ")[1:]:
        name, dummy, content = part.partition("\n")
        files[name.strip()] = base64.b64decode(content).decode()
    if "ssh_config" not in files:
        raise gate.closed(f"{state}/ssh_config cannot be read")
    certificate = files.get("id-cert.pub")
    if certificate is not None:
        write_text(f"{keys.identity_file}-cert.pub", certificate)
    write_text(keys.known_hosts_file, files["known_hosts"])
    reach = {node: gate.before(endpoint) for node, endpoint in endpoints(files["ssh_config"]).items()}
    write_text(keys.ssh_config_file, keys.ssh_config(reach, own_key=certificate is not None))


def whoami() -> str:
    """User and host of this controller, for records."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container has users without names
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def _alone(directory: str) -> t.Iterator[None]:
    with open(os.path.join(directory, "lock"), "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _age(path: str) -> float:
    with suppress(FileNotFoundError):
        return time.time() - os.stat(path).st_mtime
    return float("inf")
