"""A VM that QEMU boots for real: emulated processor, network on the loopback interface only."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import typing as t
from pathlib import Path

Record = dict[str, t.Any]
BUSES = {"virtio": "virtio-blk-pci", "scsi": "scsi-hd", "ide": "ide-hd", "sata": "ide-hd"}


class MachineError(Exception):
    """QEMU or the guest agent refused something."""


class Machine:
    """A process of QEMU with its sockets."""

    def __init__(self, record: Record) -> None:
        self._record = record

    @classmethod
    def boot(
        cls, directory: Path, vmid: int, values: Record, disks: list[tuple[str, Record, Path, str]], netdev: str
    ) -> Record:
        """Starts QEMU and answers what is needed to find it again."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        record = {
            "qmp": str(directory / f"{vmid}.qmp"),
            "qga": str(directory / f"{vmid}.qga"),
            "ssh_port": port,
            "vmid": vmid,
            "volumes": {drive["file"]: key for key, drive, *dummy in disks},
        }
        for key in ("qmp", "qga"):
            Path(record[key]).unlink(missing_ok=True)
        command = _command(record, values, disks, netdev)
        log = directory / f"{vmid}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + 30
        while not cls._answers(record):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                words = log.read_text(errors="replace").strip().splitlines() or ["no output"]
                raise MachineError(f"QEMU exited with code {process.wait()}: {words[-1]}")
            time.sleep(0.02)
        return {**record, "pid": process.pid, "started": _started(process.pid)}

    @classmethod
    def _answers(cls, record: Record) -> bool:
        """QEMU has made all devices and runs."""
        try:
            cls(record).qmp("query-status")
        except (OSError, MachineError):
            return False
        return True

    def alive(self) -> bool:
        """The process is there, and not another one with its number."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._record["pid"], os.WNOHANG)
        return bool(_started(self._record["pid"]) == self._record["started"])

    def kill(self) -> None:
        """Ends the process at once."""
        if self.alive():
            os.kill(self._record["pid"], signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # started before the server was
                os.waitpid(self._record["pid"], 0)
            deadline = time.monotonic() + 10
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.02)

    def qmp(self, command: str, arguments: Record | None = None) -> t.Any:
        """A command to QEMU's monitor, which resets a connection that comes while it lets go of the one before."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._qmp(command, arguments)
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _qmp(self, command: str, arguments: Record | None) -> t.Any:
        with _Channel(self._record["qmp"], 10) as channel:
            channel.receive()
            channel.call("qmp_capabilities", {})
            return channel.call(command, arguments or {})

    def agent(self, command: str, arguments: Record | None = None, *, wait: bool = True) -> t.Any:
        """A command to the guest agent; data of programs and files is decoded."""
        arguments = dict(arguments or {})
        if command == "guest-file-read":
            return {"content": self._read(arguments["file"])}
        if command == "guest-file-write":
            return self._write(arguments["file"], arguments["content"])
        result = self._raw(command, arguments, wait)
        if command == "guest-exec-status":
            for key in ("out-data", "err-data"):
                if result.get(key):
                    result[key] = base64.b64decode(result[key]).decode(errors="replace")
            result = {key: int(value) if isinstance(value, bool) else value for key, value in result.items()}
        return result

    def _raw(self, command: str, arguments: Record, wait: bool = True) -> t.Any:
        with _Channel(self._record["qga"], 5) as channel:
            identifier = int(time.monotonic() * 1e6) % (1 << 31)
            channel.send({"execute": "guest-sync", "arguments": {"id": identifier}})
            while channel.receive().get("return") != identifier:
                pass
            if wait:
                return channel.call(command, arguments)
            channel.send({"execute": command})
            return {}

    def _read(self, path: str) -> str:
        handle = self._raw("guest-file-open", {"path": path, "mode": "r"})
        content = self._raw("guest-file-read", {"handle": handle, "count": 1 << 20})["buf-b64"]
        self._raw("guest-file-close", {"handle": handle})
        return base64.b64decode(content).decode(errors="replace")

    def _write(self, path: str, content: str) -> None:
        handle = self._raw("guest-file-open", {"path": path, "mode": "w"})
        data = base64.b64encode(content.encode()).decode()
        self._raw("guest-file-write", {"handle": handle, "buf-b64": data})
        self._raw("guest-file-close", {"handle": handle})

    def try_agent(self, command: str, *, wait: bool = True) -> t.Any:
        """The agent's answer, or ``None`` when it does not answer."""
        try:
            return self.agent(command, wait=wait)
        except (MachineError, OSError):
            return None


class _Channel:
    """Lines of JSON over a socket."""

    def __init__(self, path: str, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> _Channel:
        return self

    def __exit__(self, *dummy: object) -> None:
        self._lines.close()
        self._socket.close()

    def send(self, message: Record) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> Record:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("the connection was closed")
        message: Record = json.loads(line.lstrip(b"\xff"))
        return message

    def call(self, command: str, arguments: Record) -> t.Any:
        self.send({"execute": command, "arguments": arguments})
        while True:
            answer = self.receive()
            if "error" in answer:
                raise MachineError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the start of the computer; ``None`` when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def _command(record: Record, values: Record, disks: list[tuple[str, Record, Path, str]], netdev: str) -> list[str]:
    vmid = record["vmid"]
    command = ["qemu-system-x86_64", "-name", f"vm{vmid}", "-accel", "tcg", "-m", str(values.get("memory") or 512)]
    command += ["-smp", str(int(values.get("sockets") or 1) * int(values.get("cores") or 1)), "-cpu", "max"]
    command += ["-machine", "q35" if "q35" in str(values.get("machine")) else "pc", "-nodefaults", "-display", "none"]
    command += ["-serial", f"file:{record['qmp'].removesuffix('.qmp')}.console"]
    command += ["-qmp", f"unix:{record['qmp']},server=on,wait=off", "-device", "virtio-scsi-pci,id=scsi"]
    command += ["-device", "ahci,id=sata", "-device", "virtio-serial-pci", "-device", "virtio-rng-pci"]
    command += ["-chardev", f"socket,id=qga,path={record['qga']},server=on,wait=off"]
    command += ["-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"]
    if values.get("smbios1"):
        command += ["-smbios", _smbios(str(values["smbios1"]))]
    order = re.findall(r"[a-z]+\d+", str(values.get("boot") or ""))
    for key, drive, path, image_format in disks:
        name, index = re.match(r"([a-z]+)(\d+)", key).groups()  # type: ignore[union-attr]
        kind = "if=none,readonly=on" if drive.get("media") == "cdrom" else "if=none"
        command += ["-drive", f"{kind},id=drive-{key},file={path},format={image_format},cache=writeback"]
        device = BUSES[name].replace("-hd", "-cd") if drive.get("media") == "cdrom" else BUSES[name]
        bus = {"scsi": "scsi.0", "sata": f"sata.{index}", "ide": f"ide.{int(index) // 2}", "virtio": ""}[name]
        device += f",drive=drive-{key}" + (f",bus={bus}" if bus else "")
        device += f",serial={drive['serial'][:20]}" if drive.get("serial") else ""
        device += f",bootindex={order.index(key) + 100}" if key in order else ""
        command += ["-device", device]
    for key in sorted(key for key in values if re.fullmatch(r"net\d+", key)):
        kind, dummy, mac = str(values[key]).partition(",")[0].partition("=")
        backend = netdev.format(vmid=vmid, port=record["ssh_port"]) if key == "net0" else "user,restrict=on"
        command += ["-netdev", f"{backend},id={key}"]
        device = "virtio-net-pci" if kind == "virtio" else kind
        command += ["-device", f"{device},netdev={key}" + (f",mac={mac}" if mac else "")]
    return command + shlex.split(str(values.get("args") or ""))


def _smbios(text: str) -> str:
    """``type=1`` of QEMU from ``smbios1``, whose values may be base64."""
    pairs = dict(part.split("=", 1) for part in text.split(","))
    encoded = pairs.pop("base64", "0") == "1"
    plain = {
        key: base64.b64decode(value).decode() if encoded and key != "uuid" else value for key, value in pairs.items()
    }
    return "type=1" + "".join(f",{key}={value.replace(',', ',,')}" for key, value in plain.items())
