"""What a program took: time, CPU time, memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """One run of a program, with all processes that it waited for."""

    seconds: float
    #: Of all its processes together.
    cpu_seconds: float
    #: Peak of its largest process.
    mib: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s, {self.cpu_seconds:.2f} s of CPU, {self.mib:.0f} MiB"


def run(command: t.Sequence[str], *, cwd: Path, env: t.Mapping[str, str]) -> tuple[Usage, str]:
    """Run a program to its end, which must be a good one; also its output."""
    with tempfile.TemporaryFile("w+") as output:
        begin = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _pid, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(text)
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), text
