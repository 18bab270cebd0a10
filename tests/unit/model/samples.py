# SPDX-License-Identifier: GPL-3.0-or-later
"""One full object of every document."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.immutable.compose.plugins.module_utils.deploy.run import Run
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import AddressBook, Held
from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import Owner
from ansible_collections.immutable.compose.plugins.module_utils.describe.seats import Seats
from ansible_collections.immutable.compose.plugins.module_utils.describe.state import Mark
from ansible_collections.immutable.compose.plugins.module_utils.errors import Failure
from ansible_collections.immutable.compose.plugins.module_utils.images.inspect import Inspected
from ansible_collections.immutable.compose.plugins.module_utils.model import findings, step, task
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role, Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Limit, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import (
    Access,
    Disk,
    Interface,
    Match,
    NodeDocument,
    Peer,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.event import Event
from ansible_collections.immutable.compose.plugins.module_utils.model.experiment import (
    Experiment,
    ExperimentMark,
    Measured,
    Trial,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.findings import Findings
from ansible_collections.immutable.compose.plugins.module_utils.model.follow import Follow
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Ask, HookLog, Hooks, OutOfService
from ansible_collections.immutable.compose.plugins.module_utils.model.image import (
    Image,
    ImageFile,
    Installed,
    NixosCompose,
    Package,
    PlannedImage,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.journal import Journal, Verified
from ansible_collections.immutable.compose.plugins.module_utils.model.lock import Layer, Lock, LockedPackage
from ansible_collections.immutable.compose.plugins.module_utils.model.plan import Change, Meaning, Plan
from ansible_collections.immutable.compose.plugins.module_utils.model.release import Located, Release
from ansible_collections.immutable.compose.plugins.module_utils.model.report import (
    Check,
    CheckDetails,
    MachineProfile,
    Measurement,
    Provenance,
    ReportDocument,
    ScriptReport,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult, Problem
from ansible_collections.immutable.compose.plugins.module_utils.oar.results import (
    Listed,
    Reserved,
    ShownEvent,
    ShownJob,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.claims import Claimed
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.lender import Lent
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import record
from ansible_collections.immutable.compose.plugins.module_utils.platforms.qemu.kvm import Tried

VOLUMES = {"data": Volume("/var/lib/db", 2048, "db", "staff", "0700")}
FOLLOW = {"db": {"/etc/db": Follow("https://a/b", "main", "c %s", "r", "5min", "key")}}
COMPOSITION = Composition(
    name="web",
    builder="debian",
    path="/c/web",
    digest="abc",
    roles={"db": Role("db", "identity", (5432,), VOLUMES, False, ("a*.service",), {"bash": "5.2"}, FOLLOW["db"])},
    distribution={"db": 1, "web": ["a", "b"], "admin": None},
    test_script="start_all()",
    revision="1234-dirty",
    lock="def",
    source="012",
)
ASK = Ask("drain", ["db1"], "0d9c")
DEPLOYMENT = Deployment(
    name="site",
    composition="/c/web",
    builder="debian",
    platform="nspawn",
    nodes=(
        Node("db1", "db", 1, "10.1.0.1", True, {"size": 3}, {"password": "hunter2"}, {"memory": 512}),
        Node("db2", "db", 2, "10.1.0.2", False, {"list": [1, {"a": None}]}, {"password": "hunter2"}, {"on": True}),
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
    stable_for=5,
    at_most={"db": Limit(("db1", "db2"), 1)},
    may_fail=("b.service",),
    hooks=Hooks("/h/drain.yml", "/h/undrain.yml", "/h/back.yml", "/h/end.yml"),
    domain="example",
    broken="no",
    composition_name="web",
    adopt_data=("db1",),
    unreadable={"db2": "no vault password"},
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
    handover=NixosCompose(kind="nxc", all={"kernel": "k"}),
    installed=Installed("/boot/vmlinuz", "/boot/initrd.img", "gzip"),
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
    domain="example",
    disks=(Disk("db", "/dev/disk1", "volume 'db'", "0b1b2b3b-4b5b", True, True), Disk("osd", "/dev/disk2")),
)
BOOT = Boot("nspawn", IMAGE, DOCUMENT, "aa-bb", {"memory": 512})
MEANING = Meaning(
    {"db": "h-web-db"}, "web", "abc", "1234", {"db": [5432]}, {"db": ["a*.service"]}, "start_all()", FOLLOW
)
RELEASE = Release(
    number=3,
    deployment="site",
    composition="abc",
    revision="1234",
    images={"db": "h-web-db"},
    nodes={"db1": "db", "db2": "db"},
    ports={"db": [5432]},
    test_script="start_all()",
    created="2026-01-31T12:00:00Z",
    previous=2,
    checks={"passed": 12, "failed": 0},
    places={"db1": Located(1, "10.1.0.1"), "db2": Located(2, None)},
    composition_name="web",
    may_fail={"db": ["a*.service"]},
    follow=FOLLOW,
    node_images={"db2": "h-web-old"},
    unsealed={"db1": ["'disk full' by me@here"]},
)
PROBLEM = Problem("command failed", "/c/web/x.nix", "roles.db", "db1", "switch", "mount /x", 32, "no such device")
UNSEALED = ["'disk full' by me@here"]
RESULT = NodeResult(False, True, "did not boot", True, "h-web-db", True, PROBLEM, {"/etc/db": "ab"}, UNSEALED)
PLAN = Plan(
    batch=["db1", "db2"],
    steps={
        "db1": Change("replace", "db", "h-web-db", "old", ["another image"], False, True),
        "db2": Change("keep", "db", "h-web-db", "h-web-db"),
    },
    waves=[["db1"]],
    composition=MEANING,
    packages={"db": {"bash": "5.2"}},
    release=3,
    settled=True,
)

LOCK = Lock(
    suite="bookworm",
    architecture="amd64",
    packages={"bash": LockedPackage("5.2", "amd64", "debian", "pool/b.deb", 4096, "ab")},
    sets={"base": Layer(["bash"], ["bash"])},
    roles={"db": Layer(["bash"], ["bash"], "linux-image-amd64", "linux-image-6.1")},
)
DRIVES = record.Boot("h-web-db", "local:1", "aa-bb", "local:2")
VM = record.Record(
    "site",
    "db1",
    True,
    "web",
    "db",
    current=DRIVES,
    verified=DRIVES,
    release=3,
    original=("sata0", "local:0"),
    was_off=True,
    volumes={"local:1": record.Content("h-web-db", "aa-bb", "data", 4096)},
    ha="started",
    snapshot="before",
    protected=True,
    tidy=True,
)

RECORDS = [Measurement("write", 1.5, "MiB/s"), Measurement("rounds", 3), Measurement("mode", "fast")]
PROFILES = {"db1": MachineProfile("6.1.0", "a processor", 2, 512)}
PROVENANCE = Provenance("web", "ab", "cd", 3, "debian", "nspawn", "build1", {"db": "h"}, {"db1": "db"}, PROFILES)
VERIFIED = Verified({"db1": RESULT}, 3, 1, "line 1", "db1", ["db1"], RECORDS, PROFILES)
REPORT = ReportDocument(
    deployment="site",
    ok=False,
    batch=["db1"],
    failed_nodes=["db1"],
    problem="testScript: no",
    script=ScriptReport(False, True, "line 1", 1, "db1"),
    checks=[Check("testScript", False, "db1", "line 1", 1.5, CheckDetails(1, "x()", [2], "false", 1, "no"), "ab")],
    evidence={"db1": {"journal": "no"}},
    records=RECORDS,
)
DIFF = step.Diff("nodes", "nodes", "db1: old", "db1: new")
NODES = {"db1": RESULT}
EVALUATED = step.Evaluated(True, COMPOSITION)
PACKAGES = {"db": {"bash": ["5.1", "5.2"], "tree": [None, "2.1"]}}
AUDITED = findings.Audited(
    changed=False,
    affected=True,
    findings=[findings.Occurrence("CVE-1", "bash", "5.1", ["db"], ["h-web-db"], [1, 2], ["db1"])],
    nodes={"db1": findings.NodeAudit(False, "CVE-1 (bash 5.1)", "h-web-db", {"/etc/db": "ab"})},
    failed_nodes=["db1"],
    unknown=["image x: it has no list of packages"],
    table=["deployment site:"],
)
DRIFTED = findings.Drifted(
    changed=False,
    nodes={
        "db1": findings.NodeDrift(
            ok=False,
            message="files changed: /etc/x",
            drifted=True,
            running="h-other",
            files=findings.Changes(["/etc/x"], ["/opt"], ["/bin/y"]),
            units=findings.UnitChanges(["a"], ["b"], ["c"], ["d"], ["e"]),
            users=findings.Changes([], ["bob"], []),
            unsealed=["'disk full' by me@here"],
            follow={"/etc/db": "ab"},
            edited={"/etc/db": ["a"]},
            unknown=["no accounts"],
        )
    },
    failed_nodes=["db1"],
    drifted=["db1"],
    release=3,
    unknown=["files and users of role db: no"],
)
RESULTS: t.Mapping[str, step.StepResult] = {
    "audit_info": AUDITED,
    "composition_evaluate": EVALUATED,
    "composition_info": EVALUATED,
    "composition_lock": step.Locked(True, "/c/web/compose.lock.json", [DIFF]),
    "config_push": step.Fared(True, NODES, ["db1"], [DIFF], ASK),
    "deployment_destroy": step.Fared(True, NODES, ["db1"], [DIFF], ASK),
    "deployment_page": step.Paged(False, "/state/results/report.html"),
    "deployment_plan": step.Planned(
        changed=True,
        pending=True,
        settled=False,
        nodes={"db1": step.NodePlan("replace", "db", "h-web-db", "old", ["another image"])},
        waves=[["db1"]],
        images={"db": "h-web-db"},
        packages=PACKAGES,
        release=3,
        hooks={"drain": ["db1"]},
        ends={"folded": ["app1"]},
        diff=[DIFF],
    ),
    "deployment_settle": step.Settled(True, NODES, ["db1"], 3, ["log in"], ["db9"], "db1: no", ASK),
    "deployment_switch": step.Fared(True, NODES, ["db1"], [DIFF], ASK),
    "deployment_verify": step.Checked(
        True,
        NODES,
        ["db1"],
        {"passed": 1, "failed": 2},
        "line 1",
        3,
        RECORDS,
        "/state/results",
        ["out/log"],
        PROVENANCE,
        ASK,
    ),
    "drift_info": DRIFTED,
    "image_build": step.Built(True, ["db"], {"db": "/store/h"}, PACKAGES, [DIFF]),
    "image_reproduce": step.Reproduced(False, {"web/db": "differs"}),
    "image_stage": step.StepResult(True),
    "keys_rotate": step.Fared(True, NODES, ["db1"], [DIFF], ASK),
    "nxc_export": step.Exported(True, "/nxc/deploy/composition::vm.json", "/nxc/nodes.json", ["-r", "db=a"]),
}

JOB = ShownJob(
    id=7,
    name="web",
    user="alice",
    state="Running",
    ended=False,
    nodes=["dahu-1.example.org"],
    walltime=600,
    start="2027-01-30 18:00:00 UTC",
    end=None,
    queue="default",
    types=["deploy"],
    properties="cluster='dahu'",
    project="default",
    message="R=1",
    events=[ShownEvent("FRAG_JOB_REQUEST", "x")],
)

EXPERIMENT = Experiment(
    deployment="$system",
    script="fio.py",
    sweep={"system": ["nfs", "ceph"], "clients": [1, 2]},
    changes={"roles": {"client": "$clients"}},
    repetitions=3,
    order="random",
    seed=7,
    time_limit=60,
    retries=1,
    on_failure="stop",
    others="destroy",
    runners={"left": {"name": "left"}},
)

SAMPLES: t.Mapping[str, t.Any] = {
    **RESULTS,
    "experiment": ExperimentMark("fs", EXPERIMENT, "record('a', 1)"),
    "experiment_file": EXPERIMENT,
    "measured": Measured(False, "line 1", RECORDS, ["out/log"], PROVENANCE),
    "trial": Trial(
        id="0a1b",
        combination={"system": "nfs", "clients": 2},
        repetition=1,
        deployment="nfs",
        changes={"roles": {"client": 2}},
        ok=False,
        message="line 1",
        runner="left",
        attempts=2,
        started="2026-01-31T12:00:00Z",
        deployed=True,
        seconds=1.5,
        records=RECORDS,
        files=["out/log"],
        provenance=PROVENANCE,
        tools={"ansible-core": "2.21.0"},
    ),
    "image_info": Inspected(IMAGE, True, PACKAGES["db"], [DIFF]),
    "oar_job": Reserved(True, JOB, [DIFF]),
    "oar_job_info": Listed([JOB]),
    "failure": step.StepFailure("no", Failure("build", "nix", "no", "/c/web/x.nix", 3), "Traceback"),
    "task": task.TaskResult(
        changed=True,
        pending=True,
        nodes={"db1": task.NodeWord(False, "no")},
        failed_nodes=["db1"],
        deployments={"site": task.Part(["db1"], True, "no")},
        asked={"db1": task.HookCall("drain", "/h/drain.yml", "0d9c")},
        put_off=["folded"],
        diff=[DIFF],
        failed=True,
        msg="no",
    ),
    "journal": Journal(
        PLAN,
        {"0d9c db": PlannedImage("hash-nixos-system-db", "/nix/store/hash-db.drv", "/nix/store/hash-db", "")},
        "no space left",
        {"db2": "no answer"},
        {"db1": RESULT},
        ["db1"],
        {"db1": RESULT},
        VERIFIED,
        HookLog(ASK, {"undrain": {"db2": "no such backend"}}),
        {"db1": "ill"},
        {"db1": RESULT},
    ),
    "event": Event(1.5, "end", "switch", "db1", "failed", "no", {"changed": True}),
    "findings": Findings("2026-01-31T12:00:00Z", DRIFTED, AUDITED),
    "kvm": Tried("boot", 0, "no permission"),
    "lease": Run("root@here, process 1", "boot", 1, "99", "2026-01-31T12:00:00Z"),
    "report": REPORT,
    "composition": COMPOSITION,
    "deployment": DEPLOYMENT,
    "image": IMAGE,
    "node": DOCUMENT,
    "machine": BOOT,
    "plan": PLAN,
    "result": RESULT,
    "release": RELEASE,
    "lock": LOCK,
    "vm": VM,
    "owner": Owner("site", "web", "db", "db1"),
    "state": Mark("site", "web", "/c/web", ["/state/site"]),
    "service": OutOfService({"db1": "2026-01-31T12:00:00Z"}),
    "addresses": AddressBook({"db1": Held("10.1.0.1", "10.1.0.9"), "db2": Held("10.1.0.2")}),
    "machines": Claimed("rest http://127.0.0.1:25300", {"web1": "dahu-1.example.org"}),
    "seats": Seats("/state/cluster", "spread by rack", {"web1": "machine1"}, ["machine1", "machine2"]),
    "reservation": Lent(2153572, ("dahu-1.example.org", "dahu-2.example.org")),
}


def document(node: Node, **more: t.Any) -> NodeDocument:
    """What one node is told; nothing that is not said here."""
    told = NodeDocument(node.name, node.role, node.index, "lab", (), (), Access("", "", ()), node.parameters, {})
    return replace(told, **more)
