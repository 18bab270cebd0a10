"""What can be chosen of the stand-in: ``options.json`` in its state directory."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass
class Options:
    """:param nodes: those of OAR, names and ranges; all that Kadeploy has, if none are given"""

    site: str = "grenoble"
    users: dict[str, str] = field(default_factory=lambda: {"alice": "alice", "bob": "bob"})
    nodes: list[str] = field(default_factory=list)
    #: Of each node.
    cores: int = 2
    #: That can be reserved, of each node.
    disks: int = 0
    #: Number of the first job.
    first_job: int = 1
    #: Real seconds in a simulated one.
    pace: float = 1
    #: Simulated seconds between two looks of OAR at its jobs: each changes the state at most once in it.
    round_seconds: float = 1

    @classmethod
    def read(cls, state: Path) -> Options:
        """From ``options.json``, if there is one."""
        path = state / "options.json"
        given: dict[str, t.Any] = json.loads(path.read_text()) if path.exists() else {}
        unknown = set(given) - {entry.name for entry in fields(cls)}
        if unknown:
            raise SystemExit(f"{path}: unknown options: {', '.join(sorted(unknown))}")
        return cls(**given)
