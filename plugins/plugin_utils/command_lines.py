# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines that change nothing on a node. PRIVATE to the collection.

Of a shell's language only what people look with is understood: commands one after another, pipes, quotes, variables,
the output of other commands, and output that goes nowhere. What is not understood is no look.
"""

from __future__ import annotations

import re
import typing as t

#: What may be beside the command line, and changes nothing.
_BESIDE = frozenset({"_raw_params", "_uses_shell", "cmd", "chdir"})
#: What a command line consists of; all else is more than these few lines understand.
_TOKENS = re.compile(
    r"(?P<space>[ \t]+)|(?P<nowhere>[12]?> ?/dev/null(?![\w./-])|[12]?>&[12])|(?P<next>\|\|?|&&|;|\n)"
    r"|(?P<plain>[\w@%+=:,./~^!*?\[\]-]+|\$\w+|\$\?|\$\{\w+\})|'(?P<single>[^'$`]*)'|(?P<double>\")|(?P<inner>\$\()"
)
_QUOTED = re.compile(r"(?P<plain>[^\"\\$`]+|\$\w+|\$\?|\$\{\w+\})|(?P<end>\")|(?P<inner>\$\()")
_PATH = re.compile(r"(?:/usr)?/s?bin/")
_WORDS = r"(?: [^ ]+)*"

#: Commands that only read → their arguments, each after a space.
_COMMANDS: t.Mapping[str, re.Pattern[str]] = {
    **dict.fromkeys(
        (
            *(
                "true",
                "false",
                "echo",
                "pwd",
                "test",
                "[",
                "printenv",
                "cut",
                "tr",
                "whoami",
                "id",
                "groups",
                "who",
                "w",
                "last",
            ),
            *("cat", "head", "tail", "ls", "stat", "readlink", "realpath", "wc", "du", "df", "grep", "cmp", "diff"),
            *("md5sum", "sha256sum", "uname", "arch", "nproc", "uptime", "free", "ps", "pgrep", "getent"),
            *("lsblk", "lscpu", "lsmod", "findmnt"),
        ),
        re.compile(_WORDS),
    ),
    "sort": re.compile(r"(?: -[bdfghiknrtuV0-9.,:]+)*"),
    "uniq": re.compile(r"(?: -[cdiu]+)*"),
    "hostname": re.compile(r"(?: -[fsiIAdy]| --(?:fqdn|short|domain|ip-address|all-ip-addresses))?"),
    "date": re.compile(r"(?: -u| --utc| -R| -I[a-z]*| \+[^ ]+)*"),
    "mount": re.compile(r"(?: -l)?"),
    "sysctl": re.compile(r"(?: -[aenN]+| \w[\w./-]*)*"),
    "ss": re.compile(r"(?: -[aelmnoprstuwx46]+)*"),
    "ip": re.compile(
        r"(?: -(?:4|6|d|s|o|j|br|brief|json))* (?:a|addr|address|l|link|r|route|n|neigh)(?: (?:show|list|ls)"
        + _WORDS
        + ")?"
    ),
    "dmesg": re.compile(r"(?: -[HTkrtux]+)*"),
    "systemctl": re.compile(
        r"(?: --(?:failed|no-pager|plain|full|all))*(?: (?:status|show|cat|is-(?:active|enabled|failed|system-running)"
        r"|list-(?:units|unit-files|timers|sockets|jobs|dependencies))" + _WORDS + ")?"
    ),
    "journalctl": re.compile(
        r"(?: -[abefgknopqrtux]+| --(?:boot|dmesg|grep|identifier|lines|no-pager|output|priority|quiet|reverse|since"
        r"|unit|until)(?:=[^ ]*)?| [^- ][^ ]*)*"
    ),
}


def only_looks(arguments: t.Mapping[str, object]) -> bool:
    """Whether a task's command line is one of those that change nothing, whatever the node has."""
    line = arguments.get("_raw_params") or arguments.get("cmd")
    # Action plugins put those of their own beside the task's.
    given = {key for key, value in arguments.items() if value is not None and not key.startswith("_ansible_")}
    if not isinstance(line, str) or not given <= _BESIDE:
        return False
    try:
        return _Line(line).looks(until="")
    except _TooMuchError:
        return False


class _TooMuchError(Exception):
    """There is more in the line than is understood."""


class _Line:
    """A command line, read from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def looks(self, until: str) -> bool:
        """Whether all commands up to the end, or to a closing parenthesis, only look; and there is one."""
        commands: list[list[str]] = [[]]
        word: str | None = None

        def done() -> None:
            nonlocal word
            if word is not None:
                commands[-1].append(word)
            word = None

        while not self._ends(until):
            found = self._next(_TOKENS)
            if found["plain"] is not None or found["single"] is not None:
                word = (word or "") + (found["plain"] or found["single"] or "")
            elif found["double"]:
                word = (word or "") + self._quoted()
            elif found["inner"]:
                word = (word or "") + self._inner()
            else:
                done()
                if found["next"]:
                    commands.append([])
        done()
        commands = [command for command in commands if command]
        return bool(commands) and all(_looks(command) for command in commands)

    def _ends(self, until: str) -> bool:
        if not until or self._at == len(self._text):
            if until:
                raise _TooMuchError
            return self._at == len(self._text)
        ends = self._text.startswith(until, self._at)
        self._at += ends
        return ends

    def _next(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _TooMuchError
        self._at = found.end()
        return found

    def _quoted(self) -> str:
        words = ""
        while True:
            found = self._next(_QUOTED)
            if found["end"]:
                return words
            words += self._inner() if found["inner"] else found["plain"]

    def _inner(self) -> str:
        """The output of another command, which nobody knows."""
        if not self.looks(until=")"):
            raise _TooMuchError
        return "$()"


def _looks(words: t.Sequence[str]) -> bool:
    command, *rest = words[1:] if words[0] == "!" and len(words) > 1 else words
    pattern = _COMMANDS.get(_PATH.sub("", command, count=1))
    text = "".join(f" {word}" for word in rest)
    return pattern is not None and "/dev/" not in text and pattern.fullmatch(text) is not None
