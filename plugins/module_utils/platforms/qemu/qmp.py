# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of QEMU's machine protocol, as far as a graceful stop needs it. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import socket
import typing as t

from ...errors import ComposeError
from ...model.answer import json_answer
from ...model.free import Json

#: Seconds for QEMU to answer; it does so whatever the guest does.
_TIMEOUT = 10.0
#: Characters of an answer.
_LONGEST = 1 << 20


def connect(path: str) -> socket.socket:
    """Connect to a socket whose path may be longer than the 107 bytes that an address has room for."""
    directory = os.open(os.path.dirname(path), os.O_PATH)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        except OSError:
            connection.close()
            raise
        return connection
    finally:
        os.close(directory)


def execute(path: str, commands: t.Sequence[tuple[str, t.Mapping[str, t.Any]]]) -> None:
    """Execute commands one after the other. :raises ComposeError: QEMU does not answer, or refuses one."""
    try:
        with connect(path) as connection, connection.makefile("rw", encoding="utf-8", errors="replace") as stream:
            stream.readline()  # the greeting
            for name, arguments in (("qmp_capabilities", {}), *commands):
                stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
                stream.flush()
                answer: dict[str, Json] = {}
                while not ({"return", "error"} & set(answer)):  # events may come in between
                    line = stream.readline(_LONGEST) or '{"error": {"desc": "connection closed"}}'
                    answer = json_answer(dict[str, Json], line, f"QEMU at {path}")
                if "error" in answer:
                    raise ComposeError(f"QEMU refused {name}: {str(answer['error'])[:200]}")
    except OSError as error:
        raise ComposeError(f"QEMU does not answer at {path}: {error}") from None
