"""The way from client to cluster, without a network, on which calls come to harm."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from proxmox import images
from proxmox.cluster import Cluster
from proxmox.errors import ApiError

from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.client import LostAnswer, ProxmoxError

#: One call gets lost, or its answer; one is refused, or it and all of its kind from then on; the process dies before
#: it; every call that only reads fails when it is made first.
Trouble = t.Literal["lost", "answer lost", "error", "errors", "killed", "reads"]
INJECTED = "no such luck"


class Killed(BaseException):
    """The process dies: nothing it would still do reaches the server."""


@dataclass
class Wire:
    """Between client and cluster, without a network: calls are numbered, and one of them comes to harm.

    Asking once more for the state of a task does not count.
    """

    cluster: Cluster
    user: str
    #: Calls until now, ``GET /nodes/pve1/tasks/qmstart/status``.
    calls: list[str] = field(default_factory=list)
    trouble: Trouble | None = None
    #: Of the call to which it happens.
    number: int = -1
    #: Called before that call, in place of a trouble.
    event: t.Callable[[], object] | None = None
    _asked: set[str] = field(default_factory=set)
    _failed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(
        self, trouble: Trouble | None = None, number: int = -1, event: t.Callable[[], object] | None = None
    ) -> None:
        """From now on calls are counted anew."""
        self.calls, self.trouble, self.number, self.event = [], trouble, number, event

    def call(self, verb: str, path: str, params: t.Mapping[str, t.Any]) -> t.Any:
        """In place of what sends a call over the network."""
        name = f"{verb} " + re.sub(r"UPID(:[^:]+){4}:([^:]+):[^/]*", r"\2", path)
        with self._lock:
            if path.endswith("/status") and path in self._asked:
                number = -2
            else:
                number = len(self.calls)
                self.calls.append(name)
                self._asked.add(path)
            hit = number == self.number
            if hit and self.trouble == "error" and verb == "GET":  # would be made again: it meets the next call
                self.number, hit = number + 1, False
        if hit and self.event:
            self.event()
        since = len(self.calls) > self.number
        if self.trouble == "killed" and since:
            raise Killed
        if (hit and self.trouble == "error") or (
            self.trouble == "errors" and since and name == self.calls[self.number]
        ):
            raise ProxmoxError(verb, path, 500, INJECTED)
        lost = LostAnswer(f"the connection broke ({verb} {path}): {INJECTED}")
        if (hit and self.trouble == "lost") or (self.trouble == "reads" and verb == "GET" and self._fails_now(path)):
            raise lost
        if name.endswith("/status") and "/tasks/" in name:  # asked less often
            self.cluster.tasks.get(path.split("/")[4]).ended.wait(0.05)
        answer = self.ask(verb, path, **params)
        if hit and self.trouble == "answer lost":
            raise lost
        return answer

    def _fails_now(self, path: str) -> bool:
        with self._lock:
            self._failed ^= {path}
            return path in self._failed

    def points(self, *, reads: bool) -> list[int]:
        """Numbers of the calls of the last run: those that change something, with all that read in between once."""
        changes, found = 0, {}
        for number, name in enumerate(self.calls):
            if not name.startswith("GET "):
                changes += 1
                found[name, changes] = number
            elif reads:
                found.setdefault((name, changes), number)
        return sorted(found.values())

    def ask(self, verb: str, path: str, /, **params: t.Any) -> t.Any:
        """The cluster's answer."""
        given = {key: str(value) for key, value in params.items() if value is not None}
        if path.endswith("/upload"):
            if not self.cluster.access.may(self.user, f"/storage/{path.split('/')[4]}", ["Datastore.AllocateTemplate"]):
                raise ProxmoxError(verb, path, 403, "Permission check failed")
            given.update(self._received(params["filename"]))
        try:
            return self.cluster.handle(verb, path, given, self.user, token=True)[1]
        except ApiError as error:
            text = " ".join(
                [error.message.strip(), *(f"{key}: {words}" for key, words in (error.errors or {}).items())]
            )
            raise ProxmoxError(verb, path, error.status, text) from None

    def _received(self, stream: t.BinaryIO) -> dict[str, str]:
        name = f"pveupload-{secrets.token_hex(16)}"
        (self.cluster.state / "tmp").mkdir(exist_ok=True)
        (self.cluster.state / "tmp" / name).write_bytes(stream.read())
        return {"filename": Path(stream.name).name, "tmpfilename": f"/var/tmp/{name}"}


class QuickImages:
    """``qemu-img``, but what it has made of the same before is copied."""

    def __init__(self) -> None:
        self._run = images.qemu_img
        self._made: dict[tuple[str, ...], tuple[str, bytes]] = {}

    def __call__(self, arguments: list[str], names: images.Names, directory: Path | None = None) -> str:
        if arguments[0] not in ("create", "convert", "info") or "-b" in arguments:
            return self._run(arguments, names, directory)
        paths = [Path(one) for one in arguments if one.startswith("/")]
        before = [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in paths]
        key = (*(one for one in arguments if not one.startswith("/")), *before)
        if key not in self._made:
            said = self._run(arguments, names, directory)
            self._made[key] = said, paths[-1].read_bytes()
        elif arguments[0] != "info":
            paths[-1].write_bytes(self._made[key][1])
        return self._made[key][0]
