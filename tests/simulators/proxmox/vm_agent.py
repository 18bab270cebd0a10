"""The guest agent."""

from __future__ import annotations

import base64
import typing as t

from .calls import Call, answers
from .errors import ApiError
from .guests import NOT_RUNNING

if t.TYPE_CHECKING:
    from .cluster import Cluster

PATH = "/nodes/{node}/qemu/{vmid}/agent"
POSTED = (
    *("ping", "fsfreeze-status", "fsfreeze-freeze", "fsfreeze-thaw", "fstrim", "shutdown"),
    *("suspend-disk", "suspend-hybrid", "suspend-ram"),
)
READ = (
    *("get-time", "info", "network-get-interfaces", "get-vcpus", "get-fsinfo", "get-memory-blocks"),
    *("get-memory-block-info", "get-host-name", "get-osinfo", "get-users", "get-timezone"),
)


def _check(cluster: Cluster, call: Call) -> None:
    config = cluster.load(call)
    if config.values.get("agent") is None:
        raise ApiError("No QEMU guest agent configured")
    if not cluster.guests.running(call.vmid):
        raise ApiError(f"VM {call.vmid} is not running")
    if not cluster.guests.agent_answers(call.vmid):
        raise ApiError(NOT_RUNNING)


def _command(name: str) -> t.Callable[[Cluster, Call], t.Any]:
    def answer(cluster: Cluster, call: Call) -> t.Any:
        _check(cluster, call)
        return {"result": cluster.guests.agent(call.vmid, name, {})}

    return answer


for _name in POSTED:
    answers(f"POST {PATH}/{_name}")(_command(_name))
for _name in READ:
    answers(f"GET {PATH}/{_name}")(_command(_name))


@answers("POST " + PATH)
def any_command(cluster: Cluster, call: Call) -> t.Any:
    """The old way to send a command."""
    return _command(str(call.get("command")))(cluster, call)


@answers(f"POST {PATH}/set-user-password")
def set_password(cluster: Cluster, call: Call) -> t.Any:
    """Sets the password of a user in the guest."""
    _check(cluster, call)
    password = base64.b64encode(str(call.get("password")).encode()).decode()
    arguments = {"username": call.get("username"), "password": password, "crypted": call.flag("crypted")}
    return {"result": cluster.guests.agent(call.vmid, "set-user-password", arguments)}


@answers(f"POST {PATH}/exec")
def execute(cluster: Cluster, call: Call) -> t.Any:
    """Starts a program in the guest."""
    _check(cluster, call)
    words = [str(word) for word in call.parameters["command"]]
    arguments: dict[str, t.Any] = {"capture-output": True, "path": words[0] if words else "", "arg": words[1:]}
    if call.get("input-data") is not None:
        arguments["input-data"] = base64.b64encode(str(call.get("input-data")).encode()).decode()
    return cluster.guests.agent(call.vmid, "exec", arguments)


@answers(f"GET {PATH}/exec-status")
def execution(cluster: Cluster, call: Call) -> t.Any:
    """How a program ended."""
    _check(cluster, call)
    return cluster.guests.agent(call.vmid, "exec-status", {"pid": call.number("pid")})


@answers(f"GET {PATH}/file-read")
def file_read(cluster: Cluster, call: Call) -> t.Any:
    """A file of the guest."""
    _check(cluster, call)
    return cluster.guests.agent(call.vmid, "file-read", {"file": call.get("file")})


@answers(f"POST {PATH}/file-write")
def file_write(cluster: Cluster, call: Call) -> t.Any:
    """Writes a file in the guest."""
    _check(cluster, call)
    content = str(call.get("content"))
    if not call.flag("encode", True):
        content = base64.b64decode(content).decode(errors="replace")
    return cluster.guests.agent(call.vmid, "file-write", {"file": call.get("file"), "content": content})
