"""What can be chosen of the stand-in: ``options.json`` in its state directory."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, fields
from pathlib import Path

from .nodesets import expand_all

Json = dict[str, t.Any]

#: A way through a macrostep: name, retries, seconds (0: no end).
Instance = tuple[str, int, float]
#: The macrosteps of a deployment: name of each, and the ways that are tried one after the other.
Automaton = list[tuple[str, list[Instance]]]


def _old(kinds: tuple[str, str, str]) -> Automaton:
    names = ("SetDeploymentEnv", "BroadcastEnv", "BootNewEnv")
    return [(name, [(name + kind, 1, 60.0)]) for name, kind in zip(names, kinds, strict=True)]


#: 3.3, without hardware.
DUMMY = _old(("Dummy", "Dummy", "Dummy"))
#: 3.3, as recorded.
CLASSICAL = _old(("Untrusted", "Chain", "Classical"))
#: 3.9 and later, as on Grid'5000.
GRID5000: Automaton = [
    ("SetDeploymentMiniOS", [("SetDeploymentMiniOSTrusted", 0, 250.0), ("SetDeploymentMiniOSUntrusted", 1, 900.0)]),
    ("BroadcastEnv", [("BroadcastEnvKascade", 1, 1000.0)]),
    ("BootNewEnv", [("BootNewEnvKexec", 0, 180.0), ("BootNewEnvHardReboot", 0, 900.0)]),
]
_AUTOMATA = {"dummy": DUMMY, "classical": CLASSICAL, "grid5000": GRID5000}

#: Seconds of each microstep, as recorded.
RECORDED = {
    "": 0.5,
    "dummy": 1.0,
    "send_key_in_deploy_env": 2.5,
    "mount_deploy_part": 1.5,
    "send_environment": 1.5,
    "send_key": 1.5,
    "install_bootloader": 1.5,
    "sync": 1.5,
    "umount_deploy_part": 1.5,
}


@dataclass
class ClusterOptions:
    """A cluster.

    :param nodes: names and ranges
    :param automaton: ``dummy`` (3.3, no hardware), ``classical`` (3.3), ``grid5000`` (3.9 and later), or a list of
        macrosteps ``[name, [[way, retries, seconds], …]]``
    :param seconds: microstep → how long it takes; ``""`` for all others
    :param boot_seconds: from the end of a reboot to an open SSH port, where machines only pretend
    :param before_ping: seconds before the first look at a machine that reboots; every five there is another one
    :param reboot_timeout: seconds after which a machine that reboots is given up
    """

    nodes: list[str]
    automaton: str | list[t.Any] = "classical"
    seconds: dict[str, float] = field(default_factory=dict)
    boot_seconds: float = 4
    before_ping: float = 1
    reboot_timeout: float = 30

    @property
    def names(self) -> list[str]:
        return expand_all(self.nodes)

    @property
    def steps(self) -> Automaton:
        if isinstance(self.automaton, str):
            return _AUTOMATA[self.automaton]
        return [
            (name, [(way, int(retries), float(end)) for way, retries, end in ways]) for name, ways in self.automaton
        ]

    def duration(self, step: str) -> float:
        """Seconds of a microstep."""
        return {**RECORDED, **self.seconds}.get(step, self.seconds.get("", RECORDED[""]))


def _clusters() -> dict[str, ClusterOptions]:
    return {"dummy": ClusterOptions(["node-[1-48]"], "dummy"), "sim": ClusterOptions(["sim-[1-8]"], "classical")}


def _environments() -> list[Json]:
    image = {"file": "server:///srv/images/test.tgz", "kind": "tar", "compression": "gzip"}
    boot = {"kernel": "/vmlinuz", "initrd": "/initrd.img"}
    demo = {"name": "demo", "version": 1, "description": "demo", "os": "linux", "image": image, "boot": boot}
    return [{**demo, "filesystem": "ext4", "partition_type": 131, "user": "alice"}]


@dataclass
class Options:
    """All of it; the defaults are the site on which the records were made."""

    version: str = "3.3.11"
    clusters: dict[str, ClusterOptions] = field(default_factory=_clusters)
    #: User → nodes and ranges on which deployments are allowed at the first start.
    rights: dict[str, list[str]] = field(default_factory=lambda: {"alice": ["sim-[1-8]"]})
    #: Registered at the first start; each with its ``user``.
    environments: list[Json] = field(default_factory=_environments)
    administrators: list[str] = field(default_factory=lambda: ["root"])
    #: User → password: HTTP Basic is asked for, instead of believing ``X-Kadeploy-User``.
    passwords: dict[str, str] = field(default_factory=dict)
    #: Real seconds in a simulated one.
    pace: float = 1
    #: Seconds after which a node of a deployment that never ended counts as free.
    purge_seconds: float = 900
    #: Seconds after which a workflow that has ended is forgotten.
    autoclean_seconds: float = 360 * 60
    #: Bytes of the files that workflows use at a time; 0: no end.
    cache_bytes: int = 0

    @property
    def modern(self) -> bool:
        """3.9 or later: architectures, aliases, zstd, labels of partitions."""
        major, minor = (int(part) for part in self.version.split(".")[:2])
        return (major, minor) >= (3, 9)

    @classmethod
    def read(cls, state: Path) -> Options:
        """From ``options.json``, if there is one."""
        path = state / "options.json"
        given: Json = json.loads(path.read_text()) if path.exists() else {}
        unknown = set(given) - {entry.name for entry in fields(cls)}
        if unknown:
            raise SystemExit(f"{path}: unknown options: {', '.join(sorted(unknown))}")
        if "clusters" in given:
            given["clusters"] = {name: ClusterOptions(**values) for name, values in given["clusters"].items()}
        return cls(**given)
