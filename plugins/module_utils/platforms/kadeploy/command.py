# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kadeploy's commands, on a frontend or here. PRIVATE to the collection."""

from __future__ import annotations

import json
import re
import shlex
import typing as t

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

from ...errors import CommandError
from ...libraries import missing_library
from ...process import Completed, run
from .outcome import Description, Failure, KadeployError, Order, Outcome, Registered

#: Seconds for commands that only ask.
_TIMEOUT = 60.0
#: Seconds that a command may need to cancel what it does, and to say so.
_GRACE = 30.0
#: Exit code of timeout(1), and Kadeploy's number where all nodes were busy.
_TIMED_OUT, _ALL_BUSY = 124, 14
#: Lines between what a command prints and the files that it has written.
_MARK = "== compose: "
#: A directory that goes with the shell; interrupted, the command cancels its operation.
_SCRIPT = """\
d=$(mktemp -d) || exit 125
trap 'rm -rf "$d"' EXIT
{files}
timeout --foreground -k {grace} -s INT {seconds} {command} </dev/null
code=$?
for name in wid ok ko; do echo; echo '{mark}'$name; cat "$d/$name" 2>/dev/null; done
exit $code
"""


class CommandLine:
    """:param shell: what a script is given to: ``sh -c``, or ``ssh -o BatchMode=yes alice@frontend``."""

    def __init__(self, shell: t.Sequence[str] = ("sh", "-c")) -> None:
        self._shell = list(shell)
        self._version: tuple[int, ...] = ()

    def version(self) -> tuple[int, ...]:
        """Of the server: ``(3, 9, 3)``."""
        if not self._version:
            text = self._run("kadeploy3 -v", "to say its version", _TIMEOUT).stdout
            self._version = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
        return self._version

    def deploy(self, order: Order, deadline: float) -> Outcome:
        """Deploy, to the end.

        :param deadline: seconds, after which the deployment is cancelled.
        :raises KadeployError: Kadeploy refused, and nothing was begun.
        :raises CommandError: the frontend cannot be reached, or the time was over.
        """
        words = ["kadeploy3", "-f", "$d/nodes"]
        files = {"nodes": "\n".join(order.nodes) + "\n"}
        environment = order.environment
        if isinstance(environment, Registered):
            words += ["-e", environment.name]
            words += ["-u", environment.user] if environment.user else []
            words += ["--env-version", str(environment.version)] if environment.version is not None else []
            words += ["--env-arch", environment.arch] if environment.arch else []
        else:
            words += ["-a", "$d/environment"]
            files["environment"] = json.dumps(dict(environment)) + "\n"  # JSON is YAML
        words += ["-k", order.keys] if order.keys else []
        words += ["-p", order.partition] if order.partition else []
        words += ["--force"] if order.force else []
        what = f"the deployment of {len(order.nodes)} nodes"
        return self._operation(words, files, what, order.nodes, deadline)

    def reboot(self, nodes: t.Sequence[str], deadline: float, level: str = "soft") -> Outcome:
        """Reboot nodes into what is on their disks, to the end.

        :param deadline: seconds, after which that is cancelled.
        :param level: ``soft``, ``hard`` or ``very_hard``: where to begin.
        """
        kind = ["simple"] if self.version() >= (3, 9) else ["-r", "simple"]
        words = ["kareboot3", *kind, "-l", level, "-f", "$d/nodes"]
        files = {"nodes": "\n".join(nodes) + "\n"}
        return self._operation(words, files, f"the reboot of {len(nodes)} nodes", nodes, deadline)

    def _operation(
        self, words: list[str], files: t.Mapping[str, str], what: str, asked: t.Sequence[str], deadline: float
    ) -> Outcome:
        """An operation on nodes: the exit code says nothing of them, the files that it writes do."""
        words += ["--write-workflow-id", "$d/wid", "-o", "$d/ok", "-n", "$d/ko"]
        script = _SCRIPT.format(
            files="\n".join(f'printf %s {shlex.quote(text)} >"$d/{name}" || exit 125' for name, text in files.items()),
            command=_line(words),
            seconds=f"{deadline:.0f}",
            grace=f"{_GRACE:.0f}",
            mark=_MARK,
        )
        done = self._run(script, what, deadline + 2 * _GRACE, refuse=False)
        said, *written = re.split(rf"\n{_MARK}(?:wid|ok|ko)\n", done.stdout)
        identifier, ok, ko = ([line for line in text.splitlines() if line] for text in (*written, "", "", "")[:3])
        name = identifier[0] if identifier else ""
        if done.returncode == _TIMED_OUT:
            why = f"{what} was cancelled: it had not ended within {deadline:.0f} s"
            raise CommandError(" ".join(words[:1]), done.returncode, said + done.stderr, why=why)
        if done.returncode:
            error = _refusal(what, done)
            if error.code == _ALL_BUSY:
                return Outcome(name, asked, error=error)
            raise error
        return Outcome(name, asked, tuple(ok), _reasons(said, ko))

    # Environments

    def find(self, wanted: Registered) -> Description | None:
        """The description of a registered environment; ``None`` if there is none."""
        if not HAS_YAML:
            raise missing_library("yaml", what="the commands of Kadeploy")
        words = ["kaenv3", "-p", wanted.name]
        words += ["-u", wanted.user] if wanted.user else []
        words += ["--env-version", str(wanted.version)] if wanted.version is not None else []
        words += ["--env-arch", wanted.arch] if wanted.arch else []
        done = self._run(_line(words), "to list environments", _TIMEOUT, refuse=False)
        if done.returncode and "Resource not found" in done.stderr:
            return None
        if done.returncode:
            raise _refusal("to list environments", done)
        found = [entry for entry in yaml.safe_load_all(done.stdout) if isinstance(entry, dict)]
        return found[0] if found else None

    def register(self, description: Description) -> None:
        """Register an environment of one's own.

        :raises KadeployError: its name and version are taken.
        """
        what = f"to register the environment {description['name']} {description.get('version', 1)}"
        text = shlex.quote(json.dumps(dict(description)) + "\n")
        script = f'd=$(mktemp -d) || exit 125\ntrap \'rm -rf "$d"\' EXIT\nprintf %s {text} >"$d/new" || exit 125\n'
        self._run(f'{script}kaenv3 -a "$d/new"', what, _TIMEOUT)

    def _run(self, script: str, what: str, timeout: float, *, refuse: bool = True) -> Completed:
        done = run([*self._shell, script], timeout=timeout, check=False)
        missing = re.search(
            r"(ka\w+3): (?:command )?not found|(?:kadeploy3|kaenv3|kareboot3)'?: No such file", done.stderr
        )
        # 255 is SSH's own, 125 that of the script, and of timeout(1).
        if done.returncode in (125, 126, 127, 255) or missing:
            raise CommandError(" ".join(self._shell), done.returncode, done.stderr)
        if refuse and done.returncode:
            raise _refusal(what, done)
        return done


def _line(words: t.Sequence[str]) -> str:
    """A command of the script, whose own files are in ``$d``."""
    return " ".join(f'"{word}"' if word.startswith("$d/") else shlex.quote(word) for word in words)


def _refusal(what: str, done: Completed) -> KadeployError:
    """What the command said, with Kadeploy's number of it."""
    number = re.search(r"error #(\d+)", done.stderr, re.IGNORECASE)
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
