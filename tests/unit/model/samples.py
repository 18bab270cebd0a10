# SPDX-License-Identifier: GPL-3.0-or-later
"""One full object of every document."""

from __future__ import annotations

import typing as t

from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Place
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role, Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Limit, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import (
    Access,
    Interface,
    Match,
    NodeDocument,
    Peer,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.event import Event
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile, Package
from ansible_collections.immutable.compose.plugins.module_utils.model.plan import Change, Plan
from ansible_collections.immutable.compose.plugins.module_utils.model.release import (
    Intent,
    Ledger,
    Meaning,
    Release,
    Verified,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult, Problem, StepResult

VOLUMES = {"data": Volume("/var/lib/db", 2048, "db", "staff", "0700")}
COMPOSITION = Composition(
    name="web",
    builder="debian",
    path="/c/web",
    digest="abc",
    roles={"db": Role("db", "identity", (5432,), VOLUMES, False, {"bash": "5.2"})},
    distribution={"db": 1, "web": ["a", "b"], "admin": None},
    test_script="start_all()",
    revision="1234-dirty",
    lock="def",
    source="012",
)
DEPLOYMENT = Deployment(
    name="site",
    composition="/c/web",
    builder="debian",
    platform="nspawn",
    nodes=(
        Node("db1", "db", 1, "10.1.0.1", {"size": 3}, {"password": "hunter2"}, {"memory": 512}),
        Node("db2", "db", 2, "10.1.0.2", {"list": [1, {"a": None}]}, {"password": "hunter2"}, {"on": True}),
    ),
    network="10.1.0.0/16",
    builder_options={"cores": 2},
    revision="HEAD",
    state="/state/site",
    setup={"v": 1},
    parameters={"p": 1.5},
    authorized_keys=("ssh-ed25519 AAAA",),
    keep=5,
    boot_timeout=60,
    verify_timeout=90,
    at_most={"db": Limit(("db1", "db2"), 1)},
    credentials={"password": "hunter2"},
)
IMAGE = Image(
    role="db",
    builder="debian",
    identity="h-web-db",
    architecture="amd64",
    formats={"root": ImageFile("root.squashfs", 4096, "ab")},
    bundle="/store/h",
    cmdline="quiet",
    packages=(Package("bash", "5.2", "/nix/store/b", "bash"),),
    volumes=VOLUMES,
    identity_file="/run/current-system",
    handover={"kind": "nxc", "all": {"kernel": "k"}},
)
INTERFACES = (
    Interface(Match(mac="52:54:00:12:34:56"), dhcp=True),
    Interface(Match(name="host0"), "10.1.0.1/16", "10.1.0.254"),
)
DOCUMENT = NodeDocument(
    name="db1",
    role="db",
    index=1,
    deployment="site",
    interfaces=INTERFACES,
    peers=(Peer("db1", "db", "10.1.0.1"), Peer("db2", "db", None)),
    ssh=Access("-----BEGIN hunter2", "ssh-ed25519-cert", ("ssh-ed25519 AAAA",)),
    parameters={"size": 3},
    secrets={"password": "hunter2"},
)
BOOT = Boot("nspawn", IMAGE, codec.encode(DOCUMENT), "aa-bb", {"memory": 512})
MEANING = Meaning("abc", "1234", {"db": (5432,)}, "start_all()")
RELEASE = Release(
    number=3,
    deployment="site",
    composition="abc",
    revision="1234",
    images={"db": "h-web-db"},
    nodes={"db1": "db"},
    ports={"db": [5432]},
    test_script="start_all()",
    created="2026-01-31T12:00:00Z",
    previous=2,
    checks={"passed": 12, "failed": 0},
)
PROBLEM = Problem("command failed", "/c/web/x.nix", "roles.db", "db1", "switch", "mount /x", 32, "no such device")
RESULT = NodeResult(False, True, True, True, "h-web-db", "booted", PROBLEM)
PLAN = Plan(
    deployment="site",
    changes={
        "db1": Change("replace", "db", "h-web-db", "old", ["another image"]),
        "db2": Change("keep", "db", "h-web-db", "h-web-db"),
    },
    waves=(("db1",),),
    images={"db": "h-web-db"},
    meaning=MEANING,
    packages={"db": {"bash": ("5.1", "5.2"), "tree": (None, "2")}},
    release=3,
    current=RELEASE,
    settled=True,
)
STEP = StepResult("switch", "site", True, {"db1": RESULT}, PROBLEM)
PLACE = Place("vm 100 on pve1", "10.1.0.1", INTERFACES, "192.0.2.1", 2222, "nsenter --net=/x nc %h %p")
LEDGER = Ledger(
    "db1", Verified(BOOT, PLACE, "2026-01-31T12:00:00Z"), Intent("switch", "2026-02-01T12:00:00Z", BOOT, RESULT)
)
EVENT = Event("2026-01-31T12:00:00.123Z", "site", "db1", "switch", "node", "started", 1, 2)

SAMPLES: t.Mapping[str, t.Any] = {
    "composition": COMPOSITION,
    "deployment": DEPLOYMENT,
    "image": IMAGE,
    "node": DOCUMENT,
    "machine": BOOT,
    "plan": PLAN,
    "step": STEP,
    "release": RELEASE,
    "ledger": LEDGER,
    "event": EVENT,
}
