# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of what programs and nodes say: Nix, Guix, git, apt, podman, QEMU, probes, test scripts, progress."""

from __future__ import annotations

import json
import random
import socket
import threading
import typing as t
from pathlib import Path
from unittest import mock

from ansible_collections.immutable.compose.plugins.module_utils import repository
from ansible_collections.immutable.compose.plugins.module_utils.builders import revision
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian import apt
from ansible_collections.immutable.compose.plugins.module_utils.builders.failures import (
    nix_evaluation_failure,
    nix_failure,
)
from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.failures import guix_failure
from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.log import GuixLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix import nix
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix.log import BuildLog
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.info import read_compose_info
from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.checks.drift import files_and_units
from ansible_collections.immutable.compose.plugins.module_utils.checks.follow import follow_checks
from ansible_collections.immutable.compose.plugins.module_utils.checks.judge import judge, seconds_up
from ansible_collections.immutable.compose.plugins.module_utils.checks.script_process import _answer, _Run
from ansible_collections.immutable.compose.plugins.module_utils.checks.wire import Call, Wire
from ansible_collections.immutable.compose.plugins.module_utils.images import listing
from ansible_collections.immutable.compose.plugins.module_utils.images.packages import from_store_paths
from ansible_collections.immutable.compose.plugins.module_utils.model.findings import Changes
from ansible_collections.immutable.compose.plugins.module_utils.nodes.look import sight_of
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.nodes.probe import Expected, facts_of
from ansible_collections.immutable.compose.plugins.module_utils.nodes.words import clean, last_lines
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.answer import Answer
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.faults import fault_of
from ansible_collections.immutable.compose.plugins.module_utils.platforms.podman import platform as podman
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu import qmp
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
from ansible_collections.immutable.compose.plugins.plugin_utils.transport import Follower

from ..unit.kexec.test_answer import NODE, OWN
from ..unit.model.samples import DEPLOYMENT, FOLLOW, IMAGE
from .attack import Reader
from .harm import data_like, json_like, mapped, text_like
from .written import ATTRIBUTES

FACTS = b"""\
identity h-web-db
failed a.service
why a.service Result=exit-code
why a.service ExecMainStatus=3
said a.service no such file
again b.service 3 12
closed 5432
listens 5432 0100007F postgres
listens 5432 00000000000000000000000001000000 postgres
unsealed {"reason": "disk full", "by": "me@here", "time": "2026", "action": "shell"}
follow {"path": "/etc/db", "revision": "ab", "seen": "ab", "age": 3, "problem": "", "differs": ["a"]}
up 12 40
state degraded
"""
SIGHT = (
    b"Fetc\td\t755 0 0\t\0Fetc/x\tf\t644 0 0\t12 1.0000000000 1.0000000000\0Fbin\tl\t777 0 0\tusr/bin\0"
    b"Mx.service\0P/srv/data\0Nroot:x:0:0::/root:/bin/sh\0"
)
LISTED = (
    "/ D 0 755 0 0\nbin S 0 777 0 0 usr/bin\netc D 0 755 0 0\netc/x R 1 644 0 0 12 0 0 sh\netc/y L etc/x\n"
    "run/f I 0 644 0 0 f\n"
)
LOG = b"""\
@nix {"action":"start","id":1,"level":3,"type":105,"fields":["/nix/store/x-a.drv","",1,1],"text":"building"}
@nix {"action":"start","id":2,"type":104,"fields":[]}
@nix {"action":"start","id":3,"type":101,"fields":["https://x"]}
@nix {"action":"result","id":1,"type":104,"fields":["build"]}
@nix {"action":"result","id":1,"type":101,"fields":["Unpacking bash"]}
@nix {"action":"result","id":2,"type":105,"fields":[1,2,3,4]}
@nix {"action":"result","id":3,"type":105,"fields":[1000000,2,3,4]}
@nix {"action":"result","id":2,"type":106,"fields":[101,2000000]}
@nix {"action":"msg","level":0,"msg":"error: no","raw_msg":"no"}
@nix {"action":"stop","id":1}
"""
GUIX = b"""\
The following derivations will be built:
  /gnu/store/aaaa-a.drv
building /gnu/store/aaaa-a.drv...
\\ 'build' phase\rdownloading from https://x ... 10%
guix build: error: build of `/gnu/store/aaaa-a.drv' failed
"""
INFO = {
    "flavour": {"name": "vm"},
    "compositions_info": {
        "composition": {"roles": {"a": "/nix/store/a", "b": {"init": "/nix/store/b/init"}}, "test_script": "/t"}
    },
    "all": {"kernel": "/nix/store/k", "initrd": "/nix/store/i"},
}
DOCKER = {
    "flavour": "docker",
    "roles": ["a"],
    "docker-compose-file": "/f",
    "image": "/i",
    "composition": {"a": {"toplevel": "/x"}},
}
CONTAINERS = [{"Labels": {podman.NODE: "db1", podman.STATE: "/state"}, "Pid": 12, "Names": ["localhost/x:a"]}]
APT = b"""\
'http://deb.example.org/debian/pool/b/bash_5.2-1_amd64.deb' bash_5.2-1_amd64.deb 1234 SHA256:ab
"""
SHOWN = b"""\
Package: bash
Version: 5.2-1
Architecture: amd64
Size: 1234
SHA256: ab
"""


def readers(directory: Path) -> t.Iterator[Reader]:
    """All of them.

    :param directory: of their own, in memory.
    """
    yield from _nodes(directory)
    yield from _builders(directory / "builders")
    yield from _programs(directory)
    yield from _scripts()


def _text(data: bytes) -> str:
    """As what a program wrote is read."""
    return data.decode("utf-8", "replace")


def _nodes(directory: Path) -> t.Iterator[Reader]:
    expected = Expected("h-web-db", [5432], "10.0.0.1", ["b*.service"], FOLLOW["db"])

    def judged(text: bytes) -> object:
        facts = facts_of(Output(0, text, b""))
        found = [
            judge("db1", expected, facts, 1.0),
            seconds_up(facts),
            list(follow_checks("db1", expected.follow, facts)),
        ]
        assert not [word for word in str(found) if word in "\x1b\x07\x9b"], "controls the terminal"
        return found

    yield Reader("answer of a probe", judged, text_like([FACTS]), share=2)
    whole = listing.Listing({"etc/x": listing.Entry("f", "644 0 0", "12 1")}, ["root"])

    def seen(text: bytes) -> object:
        return files_and_units(whole, sight_of(Output(0, text, b"")), (), Changes())

    yield Reader("look at a node", seen, text_like([SIGHT]))
    yield Reader(
        "machine of kexec",
        lambda text: fault_of(Answer.read(_text(text)), "192.0.2.7"),
        text_like([OWN.encode(), NODE.encode()]),
    )
    yield Reader(
        "words of a node",
        lambda text: (clean(_text(text)), last_lines(_text(text), 5)),
        text_like([FACTS, GUIX]),
        share=0.3,
    )


def _builders(directory: Path) -> t.Iterator[Reader]:
    progress = Progress()
    web = directory / "web"
    web.mkdir(parents=True)
    (web / "composition.nix").write_text("{ }")
    for name in ("debian", "nixos"):
        sample = {**ATTRIBUTES, "identities": {"server": "h-server", "node": "h-node"}}
        if name == "nixos":
            sample = {"roles": {"a": {}}, "testScript": "", "compose": {"a": {"ports": [1]}}}

        def evaluated(text: bytes, name: str = name) -> object:
            done = Completed(0, _text(text), "")
            module = __import__(f"{BUILDERS[name].__module__}", fromlist=["x"])
            with (
                mock.patch.object(nix, "run", lambda *_given, **_named: done),
                mock.patch.object(module, "git_revision", lambda *_given: None),
            ):
                return BUILDERS[name](str(directory), progress, {}, trusted=False).evaluate(str(web), {})

        yield Reader(f"evaluation of {name}", evaluated, json_like([sample]))

    def followed(text: bytes) -> object:
        log = BuildLog(progress, lambda path: path.rpartition("/")[2])
        for line in _text(text).split("\n"):
            log(line)
        return log.describe(), log.explanation(), log.fetched

    yield Reader("log of Nix", followed, text_like([LOG]))
    events = [json.loads(line[5:]) for line in LOG.splitlines()]
    lines = mapped(
        data_like([events]),
        lambda data: b"\n".join(
            b"@nix " + json.dumps(event, default=repr).encode("utf-8", "surrogatepass")
            for event in (data if isinstance(data, list) else [data])
        ),
    )
    yield Reader("events of Nix", followed, lines)

    def guix(text: bytes) -> object:
        log = GuixLog(progress, "build web")
        for line in _text(text).split("\n"):
            log(line)
        return log.describe(), guix_failure(_text(text))

    yield Reader("log of Guix", guix, text_like([GUIX]), share=0.5)
    errors = [
        b"error: builder for '/nix/store/x-a.drv' failed with exit code 1;\n at /c/x.nix:3:4:\n",
        b"error: undefined variable",
    ]
    yield Reader(
        "failure of Nix",
        lambda text: (nix_failure(_text(text)), nix_evaluation_failure(_text(text))),
        text_like(errors),
        share=0.5,
    )

    def info(data: t.Any) -> object:
        files = {"/f": json.dumps({"services": {"a": {"command": ["/s/init"]}}})}
        return read_compose_info(json.dumps(data), "composition", "compose-info.json", files.__getitem__)

    yield Reader(
        "compose-info", info, data_like([INFO, DOCKER, {**DOCKER, "flavour": "nspawn"}]), names="compose-info.json"
    )

    def texts(text: bytes) -> object:
        done = [Completed(1, "", ""), Completed(0, _text(text), "")]
        with mock.patch.object(nix, "run", lambda *_given, **_named: done.pop(0)):
            return nix.Nix(progress).text_of("/nix/store/x.drv")

    yield Reader("text of a derivation", texts, json_like([{"text": "a"}]), share=0.3)
    paths = [b"/nix/store/" + b"a" * 32 + b"-bash-5.2-dev\n/gnu/store/" + b"b" * 32 + b"-tree-2.1\n"]
    yield Reader("closure", lambda text: from_store_paths(_text(text).split()), text_like(paths), share=0.3)


def _programs(directory: Path) -> t.Iterator[Reader]:
    answers = ["", "0123456789abcdef0123456789abcdef01234567\trefs/heads/main\n", "", "0123456789abcdef\n"]

    def fetched(data: t.Any) -> object:
        told = [str(each) for each in data] if isinstance(data, list) else [str(data)]
        with mock.patch.object(
            repository, "run", lambda *_given, **_named: Completed(0, told.pop(0) if told else "", "")
        ):
            followed = repository.Repository("https://example.org/x")
            try:
                return followed.changed("a", followed.fetch("main"))
            finally:
                followed.close()

    yield Reader("answers of git", fetched, data_like([answers]), share=0.3)

    def revised(data: t.Any) -> object:
        told = [str(each) for each in data] if isinstance(data, list) else [str(data)]
        with mock.patch.object(
            revision, "run", lambda *_given, **_named: Completed(0, told.pop(0) if told else "", "")
        ):
            return revision.git_revision(str(directory))

    yield Reader("checkout", revised, data_like([[str(directory), "0123", " M x"]]), share=0.3)
    network = mock.Mock()

    def contained(text: bytes) -> object:
        with mock.patch.object(podman, "run", lambda *_given, **_named: Completed(0, _text(text), "")):
            platform = podman.Podman(DEPLOYMENT, Progress())
            platform.namespace = network
            network.there.return_value = []
            return platform.running(["db1"]), platform.places(), platform.shares()

    yield Reader("containers of Podman", contained, json_like([CONTAINERS]))

    def listed(text: bytes) -> object:
        with mock.patch.object(listing, "run", lambda *_given, **_named: Completed(0, _text(text), "")):
            return listing.list_image(IMAGE)

    yield Reader("files of an image", listed, text_like([LISTED.encode()]), share=0.5)
    sources = directory / "etc"
    sources.mkdir()
    (sources / "sources.list.d").mkdir()

    def mirrors(text: bytes) -> object:
        (sources / "sources.list").write_bytes(text)
        (sources / "sources.list.d" / "x.sources").write_bytes(text)
        return apt.configured_mirrors(str(sources))

    deb822 = b"Types: deb\nURIs: http://deb.example.org/debian\nSuites: bookworm\nComponents: main\n"
    yield Reader(
        "sources of apt", mirrors, text_like([b"deb http://deb.example.org/debian bookworm main\n", deb822]), share=0.5
    )

    def resolved(texts: tuple[bytes, bytes]) -> object:
        told = [_text(text) for text in texts]
        with (
            mock.patch.object(apt, "run", lambda *_given, **_named: Completed(0, told.pop(0), "")),
            mock.patch.object(apt.PrivateApt, "__init__", lambda *_given: None),
        ):
            private = apt.PrivateApt.__new__(apt.PrivateApt)
            vars(private).update(
                _records={}, _names=set(), _mirrors={"debian": "http://deb.example.org/debian"}, _suite="x", _options=[]
            )
            with mock.patch.object(private, "_apt", lambda *_given: told.pop(0)):
                return private.closure(["bash"], "roles.web.packages")

    answers_of_apt, shown_of_apt = text_like([APT]), text_like([SHOWN])

    def pairs(chance: random.Random, found: t.Sequence[t.Any]) -> tuple[bytes, bytes]:
        return chance.choice([APT, answers_of_apt(chance, found)]), shown_of_apt(chance, found)

    yield Reader("answers of apt", resolved, pairs, share=0.5)
    yield Reader(
        "QEMU",
        _qmp(directory),
        text_like(
            [b'{"QMP": {}}\n{"return": {}}\n{"event": "x"}\n{"return": {}}\n', b'{}\n{"error": {"desc": "no"}}\n']
        ),
        share=0.5,
    )


def _qmp(directory: Path) -> t.Callable[[bytes], object]:
    def execute(text: bytes) -> object:
        ours, theirs = socket.socketpair()
        theirs.sendall(text[:100_000])
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(1)
        with theirs, mock.patch.object(qmp, "connect", lambda _path: ours):
            qmp.execute(str(directory / "monitor"), [("system_powerdown", {})])
        return None

    return execute


class _Machine:
    """A node to a script."""

    name, role, doing = "web", "web", ""

    def succeed(self, command: str, timeout: float | None = None) -> str:
        """Takes what it is given."""
        return f"{command} {timeout}"


def _scripts() -> t.Iterator[Reader]:
    messages = b"""\
{"kind": "say", "text": "hello"}
{"kind": "check", "name": "testScript", "ok": true, "seconds": 1.5, "details": {"line": 3}}
{"kind": "at", "lines": [1, 2]}
{"kind": "end"}
"""

    def listened(text: bytes) -> object:
        ours, theirs = socket.socketpair()
        sender = threading.Thread(target=lambda: (theirs.sendall(text), theirs.close()), daemon=True)
        sender.start()
        with ours:
            script = _Run("x = 1", {}, mock.Mock(), Wire(ours), mock.Mock(), Progress())
            script._listen()
        sender.join(5)
        return script._checks

    yield Reader("words of a test script", listened, text_like([messages]), refuses=(), share=0.5)
    calls = {"node": "web", "method": "succeed", "args": ["true"], "kwargs": {"timeout": 3}}

    def called(data: t.Any) -> object:
        try:
            call = Call(**data)
        except TypeError:
            return None  # as `_serve` does
        return json.dumps(_answer(call, {"web": t.cast(t.Any, _Machine())}, mock.Mock()))

    yield Reader("calls of a test script", called, data_like([calls]), refuses=(), share=0.5)

    def shown(text: bytes) -> object:
        file = mock.Mock()
        file.read.return_value = text
        lines: list[str] = []
        Follower(file, mock.Mock(line=lines.append)).show(last=True)
        return lines

    yield Reader("lines of progress", shown, text_like([b"stage: x\nverify: y\n"]), share=0.3)
