"""What ends a run with the plan, on the real builder and the real platforms: before anything is touched."""

from __future__ import annotations

import shutil
import socket
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine
from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.deploy.transaction import Transaction
from ansible_collections.immutable.compose.plugins.module_utils.errors import (
    ComposeError,
    EvaluationError,
    InputError,
)
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.nspawn import platform as nspawn
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..conftest import AsNobody, HostWithout

REPOSITORY = Path(__file__).parents[3]


@dataclass
class Site:
    """A copy of the example ``nfs``, to be deployed on two nodes."""

    directory: Path
    deployment: Deployment

    @property
    def composition(self) -> Path:
        return Path(self.deployment.composition)

    def edit(self, old: str, new: str) -> None:
        file = self.composition / "composition.nix"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def options(self, **options: t.Any) -> None:
        """Options of every node."""
        nodes = tuple(replace(node, options=options) for node in self.deployment.nodes)
        self.deployment = replace(self.deployment, nodes=nodes)

    def plan(self) -> dict[str, t.Any]:
        names = [node.name for node in self.deployment.nodes]
        engine = Engine(self.deployment, names, str(self.directory / "support"), Progress())
        return Transaction(engine).plan(Wish(retire=True), hold=False)

    def refused(self, error: type[ComposeError] = ComposeError) -> str:
        """Why there is no plan; nothing is left behind by asking for one."""
        before = {path: path.lstat().st_mtime_ns for path in self.directory.rglob("*")}
        with pytest.raises(error) as caught:
            self.plan()
        assert {path: path.lstat().st_mtime_ns for path in self.directory.rglob("*")} == before
        assert not Path(self.deployment.state, "nodes").exists()
        return str(caught.value)


@pytest.fixture
def site(public: Path) -> Site:
    shutil.copytree(REPOSITORY / "nix", public / "support")
    shutil.copytree(REPOSITORY / "compositions/nfs", public / "nfs")
    nodes = tuple(
        Node(name, role, index, f"10.87.{index}.1", options={"ssh_port_base": 27100})
        for index, (name, role) in enumerate({"server": "server", "node1": "node", "node2": "node"}.items())
    )
    return Site(public, Deployment("lab", str(public / "nfs"), "debian", "qemu", nodes, state=str(public / "state")))


def test_without_a_mistake_there_is_a_plan_and_nothing_else(site: Site) -> None:
    assert {step.action for step in site.plan().nodes.values()} == {"create"}
    assert not Path(site.deployment.state).exists()


@pytest.mark.parametrize(
    ("setting", "name", "why"),
    [
        ("platform", "quemu", "unknown platform 'quemu'; did you mean 'qemu'?"),
        ("builder", "debain", "unknown builder 'debain'; did you mean 'debian'?"),
        ("composition", "/no/such", "/no/such/composition.nix is missing"),
    ],
)
def test_unknown_words(site: Site, setting: str, name: str, why: str) -> None:
    site.deployment = replace(site.deployment, **{setting: name})
    assert why in site.refused(InputError)


def test_unknown_role(site: Site) -> None:
    nodes = tuple(replace(node, role=node.role.replace("server", "sever")) for node in site.deployment.nodes)
    site.deployment = replace(site.deployment, nodes=nodes)
    assert "composition 'nfs' has no role 'sever'; did you mean 'server'?" in site.refused(InputError)


@pytest.mark.parametrize(
    ("ports", "why"),
    [("[ 2049 ", "error: syntax error, unexpected ';'"), ("[ port ]", "error: undefined variable 'port'")],
)
def test_compositions_that_do_not_evaluate(site: Site, ports: str, why: str) -> None:
    """Nix's own words, with file and line."""
    site.edit("ports = [ 2049 ]", f"ports = {ports}")
    file = site.composition / "composition.nix"
    line = 1 + next(number for number, text in enumerate(file.read_text().splitlines()) if "ports = " in text)
    message = site.refused(EvaluationError)
    assert message.startswith(f"{file} does not evaluate:\n{why}")
    assert f"{file}:{line}:" in message


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("ports = [", "prots = [", ["roles.server.prots: unknown attribute; did you mean 'ports'?"]),
        ("start_all()", "start_all(", ["testScript, line 1: '(' was never closed"]),
        ("node2.succeed", "node3.succeed", ["line 6: 'node3' is neither a node"]),
        ('"htop"', '"hotp"', ["roles.node.packages: 'hotp' is not locked", "immutable.compose.lock"]),
        ("cloud-amd64", "amd64", ["roles.node.kernel is 'linux-image-amd64', the lock has"]),
    ],
)
def test_wrong_compositions(site: Site, old: str, new: str, why: list[str]) -> None:
    site.edit(old, new)
    message = site.refused(InputError)
    assert [words for words in why if words not in message] == []


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "is missing: run"), ("{", "is not valid JSON"), ('{"schema": "x"}', 'lock.schema is "x"')],
)
def test_unusable_locks(site: Site, content: str | None, why: str) -> None:
    lock = site.composition / "compose.lock.json"
    if content is None:
        lock.unlink()
    else:
        lock.write_text(content)
    message = site.refused(InputError)
    assert f"{lock}" in message
    assert why in message
    assert "run `ansible-playbook immutable.compose.lock`" in message


def test_a_port_that_is_taken(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        site.deployment = replace(
            site.deployment,
            nodes=tuple(
                replace(node, options={"ssh_port": port}) if node.name == "node1" else node
                for node in site.deployment.nodes
            ),
        )
        message = site.refused()
    assert message.startswith(f"node1: port {port} of 127.0.0.1 is taken by process ")
    assert "python" in message
    assert message.endswith(
        "; give the platform another ssh_port_base in the deployment file, or the node another ssh_port"
    )


def test_a_missing_program(site: Site, host_without: HostWithout) -> None:
    host_without("qemu-system-x86_64")
    assert "'qemu-system-x86_64' is not installed; on Debian it is in the package 'qemu-system-x86'" in site.refused()


@pytest.mark.parametrize("program", ["nix-instantiate", "systemd-nspawn", "ip", "nsenter", "nc", "unsquashfs"])
def test_a_missing_program_for_containers(site: Site, host_without: HostWithout, program: str) -> None:
    site.deployment = replace(site.deployment, platform="nspawn")
    site.options()
    host_without(program)
    assert f"the program {program!r} is not installed; on Debian it is in the package " in site.refused()


def test_no_space(site: Site, small_disk: Path) -> None:
    site.deployment = replace(site.deployment, state=str(small_disk / "state"))
    assert f"{small_disk} has 8 MiB free, 64 MiB are needed" in site.refused()
    assert list(small_disk.iterdir()) == []


def test_no_permission_for_the_state(site: Site, as_nobody: AsNobody) -> None:
    site.plan()  # imports what nobody may read
    with as_nobody():
        assert f"no permission to write to {site.directory}, needed for the state" in site.refused()


def test_containers_need_root(site: Site, as_nobody: AsNobody) -> None:
    site.deployment = replace(site.deployment, platform="nspawn")
    site.options()
    site.plan()
    with as_nobody():
        refused = site.refused()
    assert "platform 'nspawn' needs root: run 'sudo env \"PATH=$PATH\" ansible-playbook …'" in refused


def test_containers_need_the_machine_id(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.deployment = replace(site.deployment, platform="nspawn")
    site.options()
    for text in ("", "uninitialized\n", None):
        file = tmp_path / "machine-id"
        file.write_text(text) if text is not None else file.unlink()
        monkeypatch.setattr(nspawn, "MACHINE_ID", str(file))
        assert f"{file} is empty or missing, and systemd-nspawn needs it: run 'systemd-machine-id" in site.refused()
