# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX does around ansible-runner: a project, syncs of an inventory into its database, jobs with what is in there.

What a job gets is streamed to a worker, which runs in a root of its own, without anything of this host but its network.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

import ansible_runner
import yaml
from builder import NAME
from tiny import Tiny

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = REPOSITORY / ".cache" / "awx" / "root"
EXAMPLE = REPOSITORY / "examples" / "controller"
#: Seconds for a job.
PATIENCE = 500

#: $1 is the root, $2 the collection. All that the job writes is gone when it ends.
WORKER = """
for directory in tmp runner root run; do mount -t tmpfs tmpfs "$1/$directory"; done
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind "$2" "$1/usr/share/ansible/collections/ansible_collections/immutable/compose"
exec chroot "$1" env -i HOME=/runner LANG=C.UTF-8 PATH=/usr/local/lib/python3.13/dist-packages/bin:/usr/bin:/bin \\
    python3 -m ansible_runner worker --private-data-dir /runner
"""
#: As AWX sets them.
ENVIRONMENT = {"ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_FORCE_COLOR": "False", "ANSIBLE_NOCOLOR": "1"}
SYNC = {
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_INVENTORY_EXPORT": "True",
    "ANSIBLE_VERBOSE_TO_STDERR": "True",
    "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
}


@dataclass
class Job:
    """What came back."""

    ok: bool
    output: str
    events: list[dict[str, t.Any]]
    #: Where what it wrote lies.
    directory: Path

    @property
    def artifacts(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self._end["artifact_data"])

    def counted(self, what: str) -> set[str]:
        """Hosts that the recap counts there: ``changed``, ``failures``, ``processed``."""
        return set(self._end[what])

    @property
    def failed(self) -> dict[str, dict[str, t.Any]]:
        """Host → the result that made it fail."""
        found = [event["event_data"] for event in self.events if event["event"] == "runner_on_failed"]
        return {data["host"]: data["res"] for data in found}

    @property
    def _end(self) -> dict[str, t.Any]:
        (end,) = [event["event_data"] for event in self.events if event["event"] == "playbook_on_stats"]
        return t.cast("dict[str, t.Any]", end)


class Control:
    """AWX, with a project that is checked out from where a lab has its files."""

    def __init__(self, lab: Tiny, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        #: What its database has: the output of the last sync that went well.
        self.inventory: dict[str, t.Any] = {}
        self._number = 0
        self._key = (lab.directory / "ssh" / "client").read_text()
        self._roles = t.cast(
            "list[dict[str, t.Any]]", yaml.safe_load((REPOSITORY / "roles/awx/tasks/main.yml").read_text())
        )

    @property
    def hosts(self) -> list[str]:
        return sorted(self.inventory["_meta"]["hostvars"])

    def sync(self) -> Job:
        """An update of the inventory source, with the variables that the role gives it."""
        (source,) = [task["args"]["source_vars"] for task in self._roles if task["name"] == "Inventory source"]
        private = self._private({**SYNC, **source})
        output = f"/runner/artifacts/{self._number}/output.json"
        words = ["ansible-inventory", "--list", "--export", "-i", "/runner/project/inventory", "--output", output]
        (private / "args").write_text(" ".join([*words, "--playbook-dir", "/runner/project"]))
        job = self._run(private)
        if job.ok:
            self.inventory = json.loads((job.directory / "artifacts" / str(self._number) / "output.json").read_text())
        return job

    def job(self, playbook: str, *, off: t.Collection[str] = (), slices: int = 1, **answers: str) -> Job:
        """A job of the template of that name.

        :param off: hosts that somebody has switched off.
        :param slices: it is the first of so many, and AWX deals hosts out by name.
        :param answers: of the survey.
        """
        private = self._private({})
        hosts = [host for host in self.hosts if host not in off][::slices]
        inventory = private / "inventory" / "hosts"
        inventory.parent.mkdir()
        inventory.write_text(f"#!/usr/bin/python3\nprint({json.dumps(_only(hosts, self.inventory))!r})\n")
        inventory.chmod(0o700)
        (private / "env" / "ssh_key").write_text(self._key)
        (private / "env" / "extravars").write_text(json.dumps({"awx_job_id": self._number, **answers}))
        (private / "env" / "cmdline").write_text("--forks=5 --diff")
        return self._run(private, playbook=f"playbooks/{playbook}.yml")

    def _private(self, environment: t.Mapping[str, str]) -> Path:
        """The directory that is sent, with a checkout of the project."""
        self._number += 1
        private = self.directory / f"job_{self._number}"
        project = private / "project"
        (private / "env").mkdir(parents=True)
        for part in ("inventory", "compositions"):
            shutil.copytree(self.lab.directory / part, project / part)
        shutil.copytree(EXAMPLE / "playbooks", project / "playbooks")
        # The key is that of a credential, and no file of this host is known to the job.
        hosts = yaml.safe_load((project / "inventory" / "hosts.yml").read_text())
        for name in ("ansible_ssh_private_key_file", "ansible_ssh_common_args"):
            del hosts["all"]["hosts"][NAME][name]
        (project / "inventory" / "hosts.yml").write_text(yaml.safe_dump(hosts))
        (private / "env" / "envvars").write_text(json.dumps({**ENVIRONMENT, **environment}))
        return private

    def _run(self, private: Path, **what: str) -> Job:
        """Transmit, worker, process."""
        ident = str(self._number)
        sent, told, back = (private.with_name(f"{private.name}_{name}") for name in ("sent", "told", "back"))
        with open(sent, "wb") as stream:
            ansible_runner.interface.run(
                streamer="transmit", _output=stream, private_data_dir=str(private), ident=ident, **what
            )
        collection = REPOSITORY / ".cache" / "collections" / "ansible_collections" / "immutable" / "compose"
        with open(sent, "rb") as stdin, open(told, "wb") as stdout:
            worker = subprocess.run(
                [
                    "unshare",
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-ec",
                    WORKER,
                    "worker",
                    ROOT,
                    collection.resolve(),
                ],
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
            )
        assert worker.returncode in (0, 1, 2, 4), worker.stderr.decode()  # as the job
        with open(told, "rb") as stream:
            ansible_runner.interface.run(
                streamer="process", _input=stream, private_data_dir=str(back), ident=ident, quiet=True
            )
        artifacts = back / "artifacts"
        events = [
            json.loads(path.read_text())
            for path in sorted((artifacts / ident / "job_events").glob("*.json"), key=_count)
        ]
        output = (artifacts / ident / "stdout").read_text() + worker.stderr.decode()
        print(output)
        return Job((artifacts / ident / "rc").read_text() == "0", output, events, back)


def _only(hosts: t.Collection[str], inventory: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a job gets that has these hosts: all groups, and no word of the other hosts."""
    known = inventory["_meta"]["hostvars"]
    groups = {
        name: {**group, "hosts": [host for host in group.get("hosts", ()) if host in hosts]}
        for name, group in inventory.items()
        if name != "_meta"
    }
    return {"_meta": {"hostvars": {host: known[host] for host in hosts}}, **groups}


def _count(path: Path) -> int:
    found = re.match(r"\d+", path.name)
    assert found
    return int(found[0])
