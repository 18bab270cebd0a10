"""Running VMs: states that outlive the server, with a simulated guest, or QEMU that boots the disk for real."""

from __future__ import annotations

import json
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .clock import Clock
from .errors import ApiError
from .faults import Faults
from .machines import Machine, MachineError
from .options import Options

Record = dict[str, t.Any]
NOT_RUNNING = "QEMU guest agent is not running"


@dataclass
class Guest:
    """What runs in a VM that is not booted for real; ``guests/VMID.json`` replaces the option ``guest``.

    The default is a VM whose disk has no operating system: no agent answers, a shutdown waits for ever.
    """

    #: Seconds after the start until the agent answers; ``None`` is never.
    agent: float | None = None
    #: Seconds that a shutdown takes; ``None`` is never.
    shutdown: float | None = None
    #: Answer of network-get-interfaces.
    interfaces: list[Record] | None = None
    #: Path → content, for file-read, file-write and ``cat``; {serial} is the serial of the disk that was booted.
    files: dict[str, str] | None = None
    #: Path of a program → its exit code; others exit with 0.
    programs: dict[str, int] | None = None
    #: What it says on its serial port to everybody who begins to listen.
    console: str | None = None


class Guests:
    """The VMs that run."""

    def __init__(self, state: Path, options: Options, clock: Clock, faults: Faults) -> None:
        self._run, self._guests = state / "run", state / "guests"
        self._options, self._clock, self._faults = options, clock, faults
        self._run.mkdir(exist_ok=True)
        self._guests.mkdir(exist_ok=True)
        self._pid = 3000
        self._exited: dict[tuple[int, int], Record] = {}

    def _path(self, vmid: int) -> Path:
        return self._run / f"{vmid}.json"

    def record(self, vmid: int) -> Record | None:
        """What is known of a running VM; ``None`` when it does not run."""
        try:
            record: Record = json.loads(self._path(vmid).read_text())
        except FileNotFoundError:
            return None
        if self._faults.node_down(record["node"]) or (record["machine"] and not Machine(record["machine"]).alive()):
            self.forget(vmid)
            return None
        return record

    def running(self, vmid: int) -> bool:
        """The VM runs."""
        return self.record(vmid) is not None

    def uptime(self, record: Record) -> int:
        """Seconds since the VM was started."""
        return max(0, int(self._clock.time() - record["started"]))

    def paused(self, vmid: int) -> bool:
        """The VM is paused."""
        record = self.record(vmid)
        return bool(record and record.get("paused"))

    def start(self, node: str, vmid: int, values: Record, disks: list[tuple[str, Record, Path, str]]) -> None:
        """Starts a VM.

        :param disks: key, drive, real file and its format
        """
        self._pid += 1
        record: Record = {"node": node, "started": self._clock.time(), "since": time.time(), "pid": self._pid}
        record["machine"] = None
        record["serial"] = next((drive.get("serial") for dummy, drive, *dummy2 in disks if drive.get("serial")), "")
        if self._options.boot:
            try:
                record["machine"] = Machine.boot(self._run, vmid, values, disks, self._options.netdev)
            except MachineError as error:
                raise ApiError(f"start failed: {error}") from None
            record["pid"] = record["machine"]["pid"]
        self._write(vmid, record)

    def _write(self, vmid: int, record: Record) -> None:
        temporary = self._path(vmid).with_suffix(".tmp")
        temporary.write_text(json.dumps(record))
        temporary.replace(self._path(vmid))

    def pause(self, vmid: int, paused: bool) -> None:
        """Pauses a running VM, or lets it run on."""
        record = self.record(vmid) or {}
        if record.get("machine"):
            Machine(record["machine"]).qmp("stop" if paused else "cont")
        self._write(vmid, {**record, "paused": paused})

    def reset(self, vmid: int) -> None:
        """Resets a running VM."""
        record = self.record(vmid) or {}
        if record.get("machine"):
            Machine(record["machine"]).qmp("system_reset")
        self._write(vmid, {**record, "since": time.time()})

    def monitor(self, vmid: int, command: str) -> str:
        """What QEMU's monitor answers to a command; nothing, where no QEMU runs."""
        record = self.record(vmid) or {}
        if not record.get("machine"):
            return ""
        return str(Machine(record["machine"]).qmp("human-monitor-command", {"command-line": command}))

    def on_disk(self, vmid: int, volume: str, command: str, arguments: Record) -> bool:
        """Lets QEMU do something with a disk that a booted VM has; false where no booted VM has it."""
        record = self.record(vmid)
        machine = (record or {}).get("machine") or {}
        key = machine.get("volumes", {}).get(volume)
        if key is None:
            return False
        try:
            Machine(machine).qmp(command, {"device": f"drive-{key}", **arguments})
        except MachineError as error:
            raise ApiError(str(error)) from None
        return True

    def move(self, vmid: int, node: str) -> None:
        """The VM runs on another node from now on."""
        record = self.record(vmid)
        if record:
            self._write(vmid, {**record, "node": node})

    def forget(self, vmid: int) -> None:
        """The VM does not run any more."""
        record = json.loads(self._path(vmid).read_text()) if self._path(vmid).exists() else {}
        self._path(vmid).unlink(missing_ok=True)
        if record.get("machine"):
            Machine(record["machine"]).kill()

    def ask_to_stop(self, vmid: int, agent: bool) -> None:
        """The ACPI power button, or the agent's shutdown."""
        record = self.record(vmid)
        if record is None:
            return
        if record["machine"]:
            machine = Machine(record["machine"])
            if not (agent and machine.try_agent("guest-shutdown", wait=False)):
                machine.qmp("system_powerdown")
        elif self.guest(vmid).shutdown is not None:
            seconds = self.guest(vmid).shutdown or 0
            self._write(vmid, {**record, "stops": time.time() + seconds * self._clock.pace})

    def has_stopped(self, vmid: int) -> bool:
        """The guest has switched off since it was asked to."""
        record = self.record(vmid)
        if record is None:
            return True
        return "stops" in record and time.time() >= record["stops"]

    def guest(self, vmid: int) -> Guest:
        """What runs in a VM that is not booted for real."""
        path = self._guests / f"{vmid}.json"
        return Guest(**(json.loads(path.read_text()) if path.exists() else self._options.guest))

    def console(self, vmid: int) -> t.Iterator[bytes]:
        """What a running VM says on its serial port from now on; nothing (``b""``) while it is silent."""
        record = self.record(vmid)
        if record is None:
            return
        if not record["machine"]:
            yield (self.guest(vmid).console or "").encode()
        path = self._run / f"{vmid}.console"
        seen = path.stat().st_size if path.exists() else 0
        while (self.record(vmid) or {}).get("pid") == record["pid"]:  # it ends with this start of the VM
            data = b""
            if record["machine"] and path.exists():
                with path.open("rb") as stream:
                    stream.seek(seen)
                    data = stream.read(4096)
                seen += len(data)
            yield data

    def agent_answers(self, vmid: int) -> bool:
        """The agent of a running VM answers; a silent one costs three seconds."""
        record = self.record(vmid)
        if record is None:
            return False
        if record["machine"]:
            up = Machine(record["machine"]).try_agent("guest-ping") is not None
        else:
            seconds = self.guest(vmid).agent
            up = seconds is not None and time.time() - record["since"] >= seconds * self._clock.pace
        if not up:
            self._clock.sleep(3)
        return up

    def agent(self, vmid: int, command: str, arguments: Record) -> t.Any:
        """The answer of an agent that runs; dies of the agent's error."""
        record = self.record(vmid)
        if record is None:
            raise ApiError(NOT_RUNNING)
        if record["machine"]:
            try:
                return Machine(record["machine"]).agent(f"guest-{command}", arguments)
            except MachineError as error:
                raise ApiError(f"Agent error: {error}") from None
        return self._simulated(vmid, record, command, arguments)

    def _simulated(self, vmid: int, record: Record, command: str, arguments: Record) -> t.Any:
        guest = self.guest(vmid)
        files = {path: text.replace("{serial}", record["serial"]) for path, text in (guest.files or {}).items()}
        files.update(record.get("files", {}))
        if command == "exec":
            pid = len(self._exited) + 100
            path, given = arguments.get("path", ""), arguments.get("arg", [])
            exit_code, output = (guest.programs or {}).get(path, 0), ""
            if path.rpartition("/")[2] == "cat" and given:
                exit_code, output = int(given[0] not in files), files.get(given[0], "")
            self._exited[vmid, pid] = {"exited": 1, "exitcode": exit_code, **({"out-data": output} if output else {})}
            return {"pid": pid}
        if command == "exec-status":
            if (vmid, arguments["pid"]) not in self._exited:
                raise ApiError("Agent error: Invalid parameter 'pid'")
            return self._exited[vmid, arguments["pid"]]
        if command == "file-read":
            if arguments["file"] not in files:
                raise ApiError(f"Agent error: failed to open file '{arguments['file']}': No such file or directory")
            return {"content": files[arguments["file"]]}
        if command == "file-write":
            self._write(vmid, {**record, "files": {**record.get("files", {}), arguments["file"]: arguments["content"]}})
            return None
        if command == "shutdown":
            self.ask_to_stop(vmid, agent=True)
        return {
            "network-get-interfaces": guest.interfaces or [],
            "fsfreeze-status": "thawed",
            "fsfreeze-freeze": 1,
            "fsfreeze-thaw": 1,
            "fstrim": {"paths": []},
            "get-osinfo": {"id": "debian", "name": "Debian GNU/Linux"},
            "get-host-name": {"host-name": f"vm{vmid}"},
            "get-time": int(self._clock.time() * 1e9),
        }.get(command, {})
