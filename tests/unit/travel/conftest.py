# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of the real Ansible over a builder and a platform that are nothing but records, here and "elsewhere"."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

BUILDER = """
import os

from ..model import codec
from ..model.composition import Composition, Role
from ..files import write_json
from ..model.image import Image
from .base import Builder


class Sketch(Builder):
    name = "sketch"

    def evaluate(self, path, parameters):
        with open(os.path.join(path, "composition.nix")) as stream:
            digest = stream.read().strip()
        roles = {name: Role(name, f"{digest}-{name}", bootable=False) for name in ("app", "postgres")}
        return Composition("site", self.name, path, digest, roles)

    def identify(self, *what):
        raise AssertionError

    def build(self, path, parameters, roles, formats, roots):
        if os.environ.get("DIES") == "image_build":
            os.kill(os.getpid(), 9)
        self.progress.say(f"build from {path}")
        wanted = self.evaluate(path, parameters).roles
        images = {role: Image(role, self.name, wanted[role].identity, "amd64", {}) for role in roles}
        for image in images.values():
            write_json(os.path.join(roots, image.identity, "image.json"), codec.encode(image))
        return images

    def is_built(self, path, parameters, roles, formats):
        return dict.fromkeys(roles, False)

    def lock(self, path, parameters, write=True):
        return os.path.join(path, "lock"), "", "pinned"

    def check_reproducible(self, *what):
        return {}
"""

#: Nodes are ill, and say all that they know, if the file ``ill`` is in the state directory. With the environment
#: variable ``SLOW`` they take their time, once they have made the file that it names. The module that ``DIES`` names
#: is killed in the middle of its work.
PLATFORM = """
import time


def dies(module):
    if os.environ.get("DIES") == module:
        os.kill(os.getpid(), 9)


class Sketched(Answers):
    name = "sketched"

    def shell(self, node):
        record = self._records()[node.name]
        ill = os.path.exists(os.path.join(self.deployment.state, "ill"))
        return Talker(record["identity"], " ".join(record["said"]) if ill else "")

    def stage(self, targets):
        dies("image_stage")
        return super().stage(targets)

    def switch(self, targets, tell):
        dies("deployment_switch")
        outcomes = super().switch(targets, tell)
        records = self._records()
        for target in targets:
            records[target.node.name]["said"] = list(target.document.secrets.values())
            self.progress.say(f"told {target.node.name}: {target.document.secrets}")
        write_json(self._path, records)
        return outcomes

    def commit(self, nodes, release):
        dies("deployment_settle")
        super().commit(nodes, release)

    def observe(self, nodes):
        dies("deployment_plan")
        records = self._records()
        for record in records.values():
            record.pop("said", None)
        return {n.name: Seen("running", **records[n.name]) if n.name in records else Seen("absent")
                for n in nodes}

    def remove(self, names, *, data, tell):
        return {name: NodeResult(ok=True, changed=True) for name in names}


class Talker(Shell):
    def __init__(self, identity, said):
        super().__init__(identity)
        self.said = said

    def run(self, command, timeout):
        dies("deployment_verify")
        if "SLOW" in os.environ:
            open(os.environ["SLOW"], "w").close()
            time.sleep(60)
        failed = f"failed x.service\\nsaid x.service the password is {self.said}\\n" if self.said else ""
        state = "degraded" if failed else "running"
        return Output(0, f"identity {self.identity}\\nup 3600 20\\n{failed}state {state}\\n".encode(), b"")
"""

#: What runs commands "elsewhere": the last argument of ssh is the command. With a terminal, lines end as there, and
#: what comes on standard error is among them. Each command is noted. Of the commands that contain ``AWAY`` only the
#: first ``AWAY_AFTER`` get through.
SSH = """#!/bin/sh
terminal=
for command; do [ "$command" = -tt ] && terminal=1; done
if [ "$AWAY" ]; then
  case $command in
    *"$AWAY"*)
      echo >>DIRECTORY/away
      if [ "$(wc -l <DIRECTORY/away)" -gt "${AWAY_AFTER:-0}" ]; then echo no route to host >&2; exit 255; fi ;;
  esac
fi
echo "$command" >>DIRECTORY/calls
[ $terminal ] || exec sh -c "$command"
sh -c "$command" </dev/null 2>&1 | sed 's/$/\\r/'
"""

#: Keeps all results, as AWX does.
CALLBACK = """
import json
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_NAME = "keep"
    CALLBACK_TYPE = "notification"
    CALLBACK_NEEDS_ENABLED = True

    def _keep(self, result, **options):
        with open("events", "a") as stream:
            stream.write(json.dumps([result.task.get_name(), result.result]) + "\\n")

    v2_runner_on_ok = v2_runner_on_failed = _keep

    def v2_playbook_on_stats(self, stats):
        with open("events", "a") as stream:
            stream.write(json.dumps(["artifacts", stats.custom.get("_run", {})]) + "\\n")
"""


@dataclass
class Run:
    """What one playbook left behind."""

    output: str
    returncode: int
    #: Name of the task, and its result.
    events: list[tuple[str, dict[str, t.Any]]]

    def said(self, text: str) -> list[str]:
        return [line for line in self.output.splitlines() if text in line]

    def result(self, task: str) -> dict[str, t.Any]:
        """The result of the one task of that name."""
        (result,) = [result for name, result in self.events if name.endswith(task)]
        return result


@dataclass
class Site:
    directory: Path

    @property
    def state(self) -> Path:
        return self.directory / "state" / "site"

    def write(self, **deployment: t.Any) -> None:
        """The deployment file; encrypted values are given as text with ``!vault``."""
        data = {
            "plugin": "immutable.compose.composition",
            "composition": "../web",
            "builder": "sketch",
            "platform": "sketched",
            "name": "site",
            "state_dir": str(self.directory / "state"),
            **deployment,
        }
        (self.directory / "inventory/site.compose.yml").write_text(yaml.safe_dump(data))

    def encrypt(self, value: str) -> str:
        """A value for a YAML file."""
        (self.directory / "key").write_text("open sesame")
        command = [BIN / "ansible-vault", "encrypt_string", "--vault-password-file", "key", "--name", "k", value]
        return self._run(command).stdout.partition("k: ")[2]

    def releases(self) -> list[str]:
        """Files of releases."""
        return sorted(path.name for path in (self.state / "releases").glob("*"))

    def play(self, playbook: str, *args: str, expect: int = 0, vault: bool = False, **environment: str) -> Run:
        events = self.directory / "events"
        events.unlink(missing_ok=True)
        key = ["--vault-password-file", "key"] if vault else []
        command = [BIN / "ansible-playbook", "-i", "inventory", f"immutable.compose.{playbook}", *key, *args]
        done = self._run(command, **environment)
        print(done.stdout)
        assert done.returncode == expect, done.stdout
        lines = events.read_text().splitlines() if events.exists() else []
        return Run(done.stdout, done.returncode, [tuple(json.loads(line)) for line in lines])

    def start(self, playbook: str, *args: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a playbook, with all its children in one process group."""
        command = [BIN / "ansible-playbook", "-i", "inventory", f"immutable.compose.{playbook}", *args]
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=self._environment(environment),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _environment(self, environment: t.Mapping[str, str]) -> dict[str, str]:
        return {
            "HOME": str(self.directory),
            "PATH": os.environ["PATH"],
            "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
            "ANSIBLE_CALLBACK_PLUGINS": str(self.directory / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "keep",
            "ANSIBLE_NOCOLOR": "true",
            "TMPDIR": str(self.directory / "tmp"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "local"),
            **environment,
        }

    def _run(self, command: t.Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.directory,
            env=self._environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def elsewhere(self) -> None:
        """The host ``builder``, which is reached over SSH."""
        ssh = self.directory / "ssh"
        ssh.write_text(SSH.replace("DIRECTORY", str(self.directory)))
        ssh.chmod(0o755)
        builder = {
            "ansible_connection": "ssh",
            "ansible_ssh_executable": str(ssh),
            "ansible_ssh_transfer_method": "piped",
            "ansible_python_interpreter": sys.executable,
        }
        (self.directory / "inventory/hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"builder": builder}}}))

    def transfers(self) -> int:
        """How many times content was sent "elsewhere" since the last time that this was asked."""
        calls = self.directory / "calls"
        count = calls.read_text().count("cat >") - calls.read_text().count("cat >$p")
        calls.unlink()
        return count

    def files_with(self, secret: str) -> list[Path]:
        """Files with a secret, but for those that must have it: what the user wrote, and the nodes' own documents."""
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        known = ("site.compose.yml", "answers.json")
        return [path for path in files if path.name not in known and secret.encode() in path.read_bytes()]

    def left(self) -> list[str]:
        """Files that should not be left behind, here and elsewhere."""
        calls = self.directory / "calls"
        named = re.findall(r"compose-(?:parcel|progress)-[0-9a-f]+", calls.read_text() if calls.exists() else "")
        found = [path for place in ("/tmp", "/dev/shm") for name in named for path in Path(place).glob(f"{name}*")]
        for place, pattern in (("tmp", "compose-*"), ("local", "*"), (".ansible/tmp", "*")):
            found += (self.directory / place).glob(pattern)
        return sorted(map(str, found))


@pytest.fixture
def site() -> t.Iterator[Site]:
    # Ansible's own sockets are in there: the path must be short.
    with tempfile.TemporaryDirectory(prefix="compose-test-") as name:
        yield _site(Path(name))


def _site(directory: Path) -> Site:
    collection = directory / "collections/ansible_collections/immutable/compose"
    shutil.copytree(ROOT / "plugins", collection / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("playbooks", "roles", "meta", "nix", "galaxy.yml"):
        (collection / part).symlink_to(ROOT / part)
    answers = (ROOT / "tests/benchmarks/platforms/answers.py").read_text()
    for room, name, text in (("platforms", "Sketched", answers + PLATFORM), ("builders", "Sketch", BUILDER)):
        inside = collection / "plugins/module_utils" / room
        (inside / f"{name.lower()}.py").write_text(text)
        with open(inside / "registry.py", "a", encoding="utf-8") as registry:
            registry.write(f"\nfrom .{name.lower()} import {name}\n\n{room.upper()}[{name}.name] = {name}\n")
    (directory / "callbacks").mkdir()
    (directory / "callbacks/keep.py").write_text(CALLBACK)
    for name in ("inventory", "web", "tmp"):
        (directory / name).mkdir()
    (directory / "web/composition.nix").write_text("one")
    return Site(directory)
