# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages for people, read as what somebody does who follows them.

- A block ``sh`` is commands, a block ``console`` is commands (``$ …``) with what they print. In the output, ``…``
  stands for anything, alone on a line for any lines. ``# exit code N`` behind a command says that it ends with that.
- A block of another language below a line that begins with a file's name in backquotes is that file, from where the
  reader is.
- ``<!-- needs: WHAT -->`` before a block says that it is not run here, and why.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

SHELL = ("sh", "console")
BLOCK = re.compile(
    r"(?:^ *<!-- needs: (?P<needs>[^\n]+) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
NAMED = re.compile(r"^(?:With a playbook )?`([\w./-]+\.(?:nix|yml))`[^\n]*\n*\Z", re.MULTILINE)
EXIT = re.compile(r" *# exit code (\d+)$")
GAP = "…"


@dataclass
class Command:
    """What somebody types, what it prints (where the page shows it), and how it ends."""

    text: str
    code: int = 0
    output: list[str] = field(default_factory=list)

    def missing(self, printed: str) -> str | None:
        """The pattern of what the page shows, if that is not what was printed."""
        if not self.output:
            return None
        actual = [line.rstrip() for line in printed.splitlines() if line.strip()]
        wanted = [line.rstrip() for line in self.output if line.strip()]
        pattern = "".join(
            r"(?:[^\n]*\n)*?" if line == GAP else "[^\n]*?".join(map(re.escape, line.split(GAP))) + r"\n"
            for line in wanted
        )
        return None if re.fullmatch(pattern, "".join(f"{line}\n" for line in actual)) else pattern


@dataclass
class File:
    """A file that the page has somebody write."""

    name: str
    text: str


@dataclass
class Block:
    """Commands of a page, and what they need where they are not run."""

    line: int
    needs: str | None
    steps: list[Command]


def _commands(language: str, text: str) -> list[Command]:
    if language == "sh":
        whole = re.sub(r"\\\n\s*", "", text)
        lines = [line for line in whole.splitlines() if line.strip() and not line.startswith("#")]
        return [_command(line) for line in lines]
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(_command(line[2:]))
        else:
            found[-1].output.append(line)
    return found


def _command(line: str) -> Command:
    code = EXIT.search(line)
    return Command(EXIT.sub("", line), int(code[1]) if code else 0)


def blocks(page: Path) -> t.Iterator[Block | File]:
    """What a page has somebody do, in its order."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        content = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        if match["language"] in SHELL:
            line = text.count("\n", 0, match.start()) + 1
            yield Block(line, match["needs"], _commands(match["language"], content))
        elif named := NAMED.search(text[: match.start()]):
            yield File(named[1], content)
