# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kadeploy's commands, on a frontend or here. PRIVATE to the collection.

A deployment is a ``kadeploy3`` that runs there without us, with a directory in the user's home: whoever comes after a
run that was killed finds it by that. Everything is read from standard input: all users see each other's command lines.
"""

from __future__ import annotations

import json
import re
import shlex
import time
import typing as t

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

from ...errors import CommandError, ComposeError
from ...libraries import missing_library
from ...model.answer import WrongAnswer, answer
from ...model.free import Json
from ...nodes.frontend import Frontend, Here
from ...process import Completed
from .answers import Nodes
from .backend import PowerBackend
from .outcome import Failure, KadeployError, Order, Outcome, UnderWay

#: Seconds for commands that only ask, and for a deployment to begin or to be cancelled.
_TIMEOUT, _BEGIN, _CANCEL = 60.0, 120, 30
#: Seconds that one look at a deployment may wait for its end.
_LOOK = 20.0
#: Between the files that a script prints.
_MARK = "== compose: "
#: Exit code of a script that could not do its own part.
_OURS = 125

_HEAD = f"""\
umask 077
all=$HOME/.local/state/immutable.compose/kadeploy
fail() {{ echo "$1" >&2; exit {_OURS}; }}
show() {{ for name in "$@"; do echo "{_MARK}$name"; cat "$name" 2>/dev/null; echo; done; }}
lives() {{ kill -0 "$(cat "$1" 2>/dev/null)" 2>/dev/null; }}
runs() {{ [ ! -e code ] && {{ lives runner || lives pid; }}; }}
"""
#: ``kadeploy3`` without us: what it says, and its exit code some time after it has ended. Until then it goes on.
_RUN = """\
echo $$ >runner
sh -c 'echo $$ >pid; exec {command}' >said 2>wrong </dev/null
echo $? >code.new
mv code.new code
"""
_DEPLOY = """\
[ -e "$all/{name}/runner" ] || rm -rf "$all/{name}"  # half made
mkdir -p "$all" && mkdir "$all/{name}" && cd "$all/{name}" || fail "no directory for it"
{files}
echo $$ >runner
setsid -f sh run >/dev/null 2>&1 </dev/null || fail "setsid failed"
n=0
until [ -s wid ] || [ -e code ] || [ $n -ge {begin} ]; do sleep 0.25; n=$((n + 1)); done
[ -s wid ] && exit 0
show said wrong code
"""
_LIST = """\
cd "$all" 2>/dev/null || exit 0
for d in *; do
    cd "$all/$d" 2>/dev/null || continue
    if runs; then state=runs; else state=done; fi
    echo "$d $state $(tr '\\n' ' ' <nodes)"
done
"""
_LOOK_AT = """\
cd "$all/{name}" 2>/dev/null || fail "it is not known any more"
n=0
while runs && [ $n -lt {looks} ]; do sleep 0.5; n=$((n + 1)); done
if runs; then echo runs; exit 0; fi
show said wrong wid ok ko code
"""
_FORGET = """\
cd "$all/{name}" 2>/dev/null || exit 0
runs && lives pid && kill -INT "$(cat pid)"
n=0
while runs && [ $n -lt {looks} ]; do sleep 0.25; n=$((n + 1)); done
runs && lives pid && kill -KILL "$(cat pid)"
rm -rf "$all/{name}"
"""
#: A command that is waited for, with files in a directory that goes with the shell.
_ONCE = """\
d=$(mktemp -d) && cd "$d" || fail "no directory for it"
trap 'rm -rf "$d"' EXIT
{files}
timeout --foreground -k 30 -s INT {seconds} {command} </dev/null >said
code=$?
show said ok ko
exit $code
"""


class CommandLine(PowerBackend):
    """:param host: where the commands are."""

    def __init__(self, host: Frontend | Here | None = None) -> None:
        if not HAS_YAML:
            raise missing_library("yaml", what="the commands of Kadeploy")
        self._host = host or Here()
        self.where = f"Kadeploy on {self._host.where}"

    def nodes(self) -> list[str]:
        command = "kanodes3 -s"
        told = {"ok": self._yaml(command, "to list nodes")}
        return list(answer(Nodes, told, f"{self.where}: {command}").ok or ())

    # Deployments

    def rehearse(self, order: Order) -> None:
        done = self._once([*_words(order), "--dry-run"], _files(order), _TIMEOUT)
        if done.returncode:
            raise _refusal(_what(order), done)

    def deploy(self, order: Order) -> str:
        """:raises CommandError: the command did not come up."""
        name = order.name
        words = [*_words(order), "--write-workflow-id", "wid", "-o", "ok", "-n", "ko"]
        files = {**_files(order), "run": _RUN.format(command=shlex.join(words).replace("'", "'\\''"))}
        script = _DEPLOY.format(name=name, files=_written(files), begin=_BEGIN * 4)
        done = self._script(script, "kadeploy3", _BEGIN + _TIMEOUT)
        if _MARK not in done.stdout:
            return name
        there = _parts(done)
        self.forget(name)
        code = _code(there)
        if code is None:
            raise ComposeError(f"{self.where} did not begin a deployment within {_BEGIN} s\n{there['wrong']}")
        if code in (126, 127):
            raise CommandError(f"kadeploy3 on {self._host.where}", code, there["wrong"])
        raise _refusal(_what(order), Completed(code, there["said"], there["wrong"]))

    def under_way(self) -> list[UnderWay]:
        lines = [line.split() for line in self._script(_LIST, "kadeploy3", _TIMEOUT).stdout.splitlines()]
        if not all(len(line) > 1 and line[1] in ("runs", "done") for line in lines):
            raise WrongAnswer(f"{self.where} does not list deployments")
        return [UnderWay(name, name, frozenset(nodes), state == "done") for name, state, *nodes in lines]

    def wait(self, identifier: str, asked: t.Sequence[str], deadline: float) -> Outcome:
        end = time.monotonic() + deadline
        while True:
            looks = max(0, min(_LOOK, end - time.monotonic()) * 2)
            script = _LOOK_AT.format(name=identifier, looks=int(looks))
            done = self._script(script, "kadeploy3", _LOOK + _TIMEOUT)
            if done.stdout != "runs\n":
                return _outcome(identifier, asked, _parts(done))
            if time.monotonic() >= end:
                raise ComposeError(f"the deployment {identifier} has not ended within {deadline:.0f} s; it goes on")

    def forget(self, identifier: str) -> None:
        script = _FORGET.format(name=identifier, looks=_CANCEL * 4)
        self._script(script, "kadeploy3", _CANCEL + _TIMEOUT)

    # Power

    def switch_off(self, nodes: t.Sequence[str], deadline: float) -> Outcome:
        words = ["kapower3", "--off", "-l", "soft", "-f", "nodes", "-o", "ok", "-n", "ko"]
        done = self._once(words, _listed(nodes), deadline)
        if done.returncode:
            raise _refusal(f"to switch off {len(nodes)} nodes", done)
        return _outcome("", nodes, {**_parts(done), "code": "0"})

    def are_off(self, nodes: t.Sequence[str], deadline: float) -> set[str]:
        done = self._once(["kapower3", "--status", "-f", "nodes"], _listed(nodes), deadline)
        if done.returncode:
            raise _refusal(f"to tell whether {len(nodes)} nodes are on", done)
        return set(re.findall(r"^(\S+): off$", done.stdout, re.MULTILINE)) & set(nodes)

    def await_power(self, nodes: t.Collection[str], deadline: float) -> None:
        end = time.monotonic() + deadline
        while self._switches(nodes):
            if time.monotonic() > end:
                raise ComposeError(f"{self.where}: machines were still being switched after {deadline:.0f} s")
            time.sleep(1)

    def _switches(self, nodes: t.Collection[str]) -> bool:
        """Whether something goes on with the power of these machines; of others' operations there are names only."""
        command = "kanodes3 -p"
        where = f"{self.where}: {command}"
        for each in answer(list[dict[str, Json]], self._yaml(command, "to list operations"), where):
            own = _plain(each)
            if isinstance(own.get("nodes"), dict) and not own.get("done"):
                parts = answer(Nodes, _plain(own["nodes"]), where)
                if parts.all().intersection(nodes):
                    return True
        return False

    # Scripts

    def _yaml(self, command: str, what: str) -> Json:
        """What a command writes; an empty list if it is nothing. :raises WrongAnswer: it is no YAML."""
        try:
            return t.cast(Json, yaml.safe_load(self._ask(command, what)) or [])
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise WrongAnswer(f"{self.where}: {command} wrote no YAML: {error}") from None

    def _ask(self, command: str, what: str) -> str:
        done = self._script(command, command.split()[0], _TIMEOUT, refuse=False)
        if done.returncode:
            raise _refusal(what, done)
        return done.stdout

    def _once(self, words: t.Sequence[str], files: t.Mapping[str, str], deadline: float) -> Completed:
        script = _ONCE.format(files=_written(files), seconds=f"{deadline:.0f}", command=shlex.join(words))
        return self._script(script, words[0], deadline + _TIMEOUT, refuse=False)

    def _script(self, script: str, command: str, timeout: float, *, refuse: bool = True) -> Completed:
        """:param refuse: every exit code but 0; else those only that are not of Kadeploy's command."""
        done = self._host.run(["sh", "-s"], timeout, stdin=_HEAD + script)
        missing = re.search(r"(ka\w+3): (?:command )?not found|(?:ka\w+3)['\u2019]?: No such file", done.stderr)
        if missing or done.returncode in (_OURS, 126, 127) or (refuse and done.returncode):
            raise CommandError(f"{command} on {self._host.where}", done.returncode, done.stderr)
        return done


def _plain(data: t.Any) -> dict[str, Json]:
    """A mapping whose keys may be symbols of Ruby."""
    return {str(key).lstrip(":"): value for key, value in data.items()}


def _what(order: Order) -> str:
    return f"the deployment of {len(order.nodes)} nodes"


def _words(order: Order) -> list[str]:
    """The command of a deployment, with the files of it."""
    words = ["kadeploy3", "-f", "nodes", "-a", "environment"]
    return words + (["-p", order.partition] if order.partition else [])


def _listed(nodes: t.Sequence[str]) -> dict[str, str]:
    return {"nodes": "\n".join(nodes)}


def _files(order: Order) -> dict[str, str]:
    return {**_listed(order.nodes), "environment": json.dumps(dict(order.environment))}  # JSON is YAML


def _written(files: t.Mapping[str, str]) -> str:
    """Commands that write files."""
    return "\n".join(f"printf '%s\\n' {shlex.quote(text)} >{name} || fail {name}" for name, text in files.items())


def _parts(done: Completed) -> dict[str, str]:
    """The files that a script has printed."""
    _before, *rest = re.split(rf"^{_MARK}(\w+)\n", done.stdout, flags=re.MULTILINE)
    known = dict.fromkeys(("said", "wrong", "ok", "ko", "code"), "")
    return {**known, **{name: text.rstrip("\n") for name, text in zip(rest[::2], rest[1::2])}}


def _code(there: t.Mapping[str, str]) -> int | None:
    """An exit code; ``None`` if there is none."""
    return int(there["code"]) if re.fullmatch("[0-9]{1,9}", there["code"]) else None


def _outcome(identifier: str, asked: t.Sequence[str], there: t.Mapping[str, str]) -> Outcome:
    """The exit code says nothing of nodes, the files that the command writes do."""
    code = _code(there)
    if code is None:
        why = "it ended without a result: it was killed, or its host was started anew"
        return Outcome(identifier, asked, error=KadeployError(f"the deployment {identifier}", 0, why))
    if code:
        done = Completed(code, there["said"], there["wrong"])
        return Outcome(identifier, asked, error=_refusal(f"the deployment {identifier}", done))
    failed = _reasons(there["said"], there["ko"].split())
    return Outcome(identifier, asked, tuple(there["ok"].split()), failed)


def _refusal(what: str, done: Completed) -> KadeployError:
    """What the command said, with Kadeploy's number of it."""
    # Others have numbers of their errors, too, such as MySQL.
    kinds = (r"Kadeploy (?:\w+ )?error:? #([0-9]{1,9})", r"error #([0-9]{1,9})")
    number = next(filter(None, (re.search(kind, done.stderr, re.IGNORECASE) for kind in kinds)), None)
    text = re.sub(r"\n?\[Kadeploy Error #\d+\]", "", done.stderr.strip())
    return KadeployError(what, int(number[1]) if number else 0, text or f"exit code {done.returncode}")


def _reasons(said: str, nodes: t.Sequence[str]) -> dict[str, Failure]:
    """Node → why it failed, from ``NODE (REASON)``, where a reason may have several lines."""
    block = said.rpartition(" failed on nodes\n")[2]
    begins = {node: block.find(f"{node} (") for node in nodes}
    found = {}
    for node, begin in begins.items():
        ends = [other for other in begins.values() if other > begin]
        text = block[begin + len(node) + 2 : min(ends, default=len(block))] if begin >= 0 else ""
        found[node] = Failure.read(text.strip().removesuffix(")"))
    return found
