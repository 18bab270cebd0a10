# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of what this collection has written itself: documents of the state directory, images, parcels of a step."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.deploy.events import read
from ansible_collections.immutable.compose.plugins.module_utils.deploy.journal import JournalFile
from ansible_collections.immutable.compose.plugins.module_utils.deploy.lease import Lease
from ansible_collections.immutable.compose.plugins.module_utils.deploy.parcel import Parcel
from ansible_collections.immutable.compose.plugins.module_utils.deploy.release import ReleaseStore
from ansible_collections.immutable.compose.plugins.module_utils.deploy.service import Service
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.describe.load import read_manifest
from ansible_collections.immutable.compose.plugins.module_utils.describe.state import StateDirectory
from ansible_collections.immutable.compose.plugins.module_utils.images.image import find_image
from ansible_collections.immutable.compose.plugins.module_utils.images.sbom import cyclonedx
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Hooks
from ansible_collections.immutable.compose.plugins.module_utils.model.task import TaskResult
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys, endpoints
from ansible_collections.immutable.compose.plugins.module_utils.page.recorded import Recorded
from ansible_collections.immutable.compose.plugins.module_utils.page.render import page
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import claims, lender
from ansible_collections.immutable.compose.plugins.module_utils.platforms.ledger import foreign
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.records import NodeState
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.record import Record
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu import kvm
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
from ansible_collections.immutable.compose.plugins.module_utils.shipped import Place

from ..unit.model.samples import DEPLOYMENT, RELEASE, SAMPLES
from .attack import Reader
from .harm import data_like, json_like, text_like

#: Documents that are read from a file somewhere.
_FILES = (
    *("journal", "kvm", "lease", "report", "composition", "deployment", "image", "node", "machine", "plan", "release"),
    *("lock", "vm", "owner", "state", "service", "addresses", "machines", "reservation", "findings"),
)


def from_file(
    name: str, path: Path, read: Callable[[], object], samples: t.Sequence[t.Any], names: str = "", share: float = 1.0
) -> Reader:
    """Reads a file of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return Reader(name, write, json_like(samples), names=names, share=share)


def readers(directory: Path) -> t.Iterator[Reader]:
    """All of them.

    :param directory: of their own, in memory.
    """
    told = {name: codec.encode(SAMPLES[name]) for name in SAMPLES}
    for name in _FILES:
        path = directory / f"{name}.json"
        type_ = type(SAMPLES[name])
        yield from_file(
            f"document {name}",
            path,
            lambda path=path, type_=type_: codec.read(type_, str(path)),
            [told[name]],
            str(path),
        )
        yield Reader(
            f"data {name}",
            lambda data, type_=type_: codec.encode(codec.decode(type_, data, "it")),
            data_like([told[name]]),
            share=0.3,
        )
    yield from _state(directory / "state", told)
    yield Reader("result of a task", lambda data: codec.decode(TaskResult, data, "plan"), data_like([told["task"]]))
    yield Reader(
        "description of a VM",
        lambda data: Record.read(data.decode("utf-8", "replace"), "VM 7"),
        _descriptions(told["vm"]),
    )
    yield Reader(
        "parcel of a step", lambda data: Parcel.from_text(json.dumps(data)), data_like([json.loads(_parcel(directory))])
    )
    yield from _keys(directory / "keys")


def _descriptions(record: t.Any) -> t.Any:
    return text_like([f"Ask Ada.\n\n<!-- immutable.compose {json.dumps(record)} -->".encode()])


def _parcel(directory: Path) -> str:
    place = Place(str(directory))
    parcel = Parcel(DEPLOYMENT, ("db1",), place, SAMPLES["lease"], composition=place, hooked={"db1": ""})
    return parcel.to_text(place).splitlines()[1]


def _state(state: Path, told: t.Mapping[str, t.Any]) -> t.Iterator[Reader]:
    """What asks for the files of a state directory, each in its own way."""
    (state / "releases").mkdir(parents=True)
    deployment = dataclasses.replace(DEPLOYMENT, state=str(state))
    release = [told["release"], {**told["release"], "previous": None}]
    store = ReleaseStore(str(state))

    def current() -> object:
        found = store.current()
        store.placed(deployment)
        return found

    path = state / "releases" / "3.json"
    codec.write(str(state / "releases" / "2.json"), dataclasses.replace(RELEASE, number=2))
    yield from_file("release", path, current, release, str(path))

    def numbered(data: bytes) -> object:
        (state / "releases" / "current").write_bytes(data)
        return store.numbers(), store.current()

    yield Reader("current release", numbered, text_like([b"3", b"2\n"]), share=0.3)
    yield Reader(
        "wanted release", lambda data: store.find(str(data)), data_like(["3", "current", "previous"]), share=0.2
    )
    journal = JournalFile(str(state))
    yield from_file("journal", state / "journal.json", journal.read, [told["journal"]], "journal.json", 0.5)
    ends = [
        ("plan", "deployment_plan"),
        ("build", "image_build"),
        ("settle", "deployment_settle"),
        ("stage", "failure"),
    ]
    said = [
        {**told["event"], "kind": "failed" if result == "failure" else "end", "step": step, "result": told[result]}
        for step, result in ends
    ]

    def shown() -> object:
        recorded = Recorded("site", "nspawn", list(read(str(state / "events.jsonl"))), [], None, [])
        return page(recorded)

    yield from_file("events", state / "events.jsonl", shown, [told["event"], *said], share=0.3)
    lease = Lease(str(state), SAMPLES["lease"], Progress())
    yield from_file("lease", state / "lease.json", lease.require, [told["lease"]], share=0.5)
    service = Service(str(state), Hooks())
    yield from_file(
        "out of service", state / "out-of-service.json", lambda: service.out, [told["service"]], "out-of-service", 0.5
    )

    def addresses() -> object:
        held = HeldAddresses.read(str(state))
        return held.settle(deployment)

    yield from_file("addresses", state / "addresses.json", addresses, [told["addresses"]], "addresses.json")
    mark = StateDirectory(deployment)
    yield from_file("mark", state / "deployment.json", mark.require, [told["state"]], str(state))
    node = NodeState(str(state), "db1")
    (state / "volumes" / "db1" / "data").mkdir(parents=True)
    owner = state / "volumes" / "db1" / "owner.json"
    yield from_file("owner", owner, lambda: node.data(deployment), [told["owner"]], "owner.json", 0.5)
    machine = state / "nodes" / "db1" / "current.json"

    def boot() -> object:
        foreign(str(state), "nspawn")
        return node.readable(), node.current()

    yield from_file("machine", machine, boot, [told["machine"]], "current.json")
    kept = state / "kvm"
    kept.mkdir()
    yield from_file("kvm", kept / "kvm.json", lambda: kvm.is_emulated(str(kept), "/dev/null"), [told["kvm"]], share=0.3)
    yield from_file(
        "claims", state / "machines.json", claims.Claims(str(state)).machines, [told["machines"]], share=0.3
    )
    yield from_file(
        "lent", state / "reservation.json", lambda: lender.require_none(str(state)), [told["reservation"]], share=0.3
    )
    yield from_file(
        "manifest",
        state / "composition.json",
        lambda: read_manifest(str(state / "composition.json"), "debian"),
        [told["composition"]],
        "composition.json",
        2,
    )
    bundle = state / "bundle"

    def inspected() -> object:
        image = find_image(str(bundle))
        return cyclonedx(image)

    yield from_file("bundle", bundle / "image.json", inspected, [told["image"]], "image", 0.5)


def _keys(directory: Path) -> t.Iterator[Reader]:
    """Keys and what ssh reads."""
    directory.mkdir()
    keys = Keys(str(directory))
    host = keys.host_key("db1")
    config = keys.ssh_config({})
    own = (directory / "hostkeys" / "db1").read_bytes()

    def private(data: bytes) -> object:
        (directory / "hostkeys" / "db1").write_bytes(data)
        fresh = Keys(str(directory))
        return fresh.lost(["db1"]), fresh.host_key("db1")

    def certificate(data: bytes) -> object:
        (directory / "hostkeys" / "db1-cert.pub").write_bytes(data)
        return Keys(str(directory)).host_key("db1")

    def authority(data: bytes) -> object:
        (directory / "ca").write_bytes(data)
        return Keys(str(directory)).run_authority()

    ca = (directory / "ca").read_bytes()
    yield Reader("certificate", certificate, text_like([host.certificate.encode()]), share=0.5)
    yield Reader("host key", private, text_like([own]), share=0.5)
    yield Reader("authority", authority, text_like([ca]), share=0.5)
    reach = (
        b"Host db1\n  HostName 10.0.0.1\n  Port 22\n  HostKeyAlias db1\n  ProxyCommand nc -N %h\nHost *\n  User root\n"
    )
    assert config
    yield Reader("ssh_config", lambda data: endpoints(data.decode("utf-8", "replace")), text_like([reach]), share=0.5)
