"""Machines: what is on their disks, what they boot, and whether that comes up."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .faults import Faults

if t.TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, t.Any]

#: What runs on a machine: nothing, the standard system, Kadeploy's own, what was deployed.
System = t.Literal["", "prod", "deploy", "user"]


@dataclass
class Load:
    """What a deployment puts on machines.

    :param description: of the environment
    :param image: its file
    :param keys: for root
    :param postinstalls: file and script of each
    :param variables: environment of the scripts
    """

    description: Json
    image: Path | None = None
    keys: str = ""
    postinstalls: t.Sequence[tuple[Path, str]] = ()
    variables: t.Mapping[str, str] = field(default_factory=dict)


class Machine:
    """One that only pretends.

    :param boot_seconds: from the end of a reboot to an open SSH port
    """

    #: Its work takes no time.
    pretends = True

    def __init__(self, name: str, faults: Faults, boot_seconds: float) -> None:
        self.name = name
        self.faults = faults
        self.boot_seconds = boot_seconds
        self.running: System = "prod"
        #: What it boots the next time: from its disk, or Kadeploy's own system.
        self.network_boot = False
        self.disk: System = "prod"
        self.on = True
        self._ready = 0.0

    def reset(self, level: str) -> str:
        """Reboot; the error if that cannot be done."""
        if self.faults.meet(self.name, "bmc_silent"):
            return "bmc does not answer"
        if level == "soft" and not self.running:
            return "TAKTUK-ERROR-state: connection failed\n"
        self.boot("deploy" if self.network_boot else self.disk)
        return ""

    def boot(self, system: System) -> None:
        """Begin to boot a system."""
        self.on = True
        self.halt()
        which = "deploy" if system == "deploy" else "user"
        self._ready = self.boot_seconds
        slow = self.faults.meet(self.name, "slow", which)
        if slow:
            self._ready += slow["seconds"]
        if self.faults.meet(self.name, "no_boot", which):
            return
        self.running = system
        self.power_up()

    def power(self, on: bool) -> str:
        """Switch it; the error if that cannot be done."""
        if self.faults.meet(self.name, "bmc_silent"):
            return "bmc does not answer"
        if on and not self.on:
            self.boot("deploy" if self.network_boot else self.disk)
        if not on:
            self.halt()
        self.on = on
        return ""

    def answers(self, system: System, waited: float) -> bool:
        """Whether a system is there, so long after its reboot.

        :param waited: simulated seconds
        """
        return self.running == system and waited >= self._ready

    # What those that really boot do more

    def power_up(self) -> None:
        """Start what runs now."""

    def halt(self) -> None:
        """Stop it."""
        self.running = ""

    def work(self, step: str, load: Load) -> str:
        """What a microstep does to the disk; the error, if it fails."""
        if step == "manage_user_post_install":
            failed = self.faults.meet(self.name, "post_install")
            if failed:
                return str(failed.get("error", "post-install failed\n"))
        if step == "send_environment":
            self.disk = "user"
        return ""

    def remove(self) -> None:
        """Leave nothing behind."""
