"""What Podman is asked to do, and what is refused. Real containers boot in the end-to-end tests."""

from __future__ import annotations

import json
import os
import resource
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.netns import Namespace
from ansible_collections.immutable.compose.plugins.module_utils.platforms.podman import platform as podman
from ansible_collections.immutable.compose.plugins.module_utils.platforms.podman.platform import Podman
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..conftest import AsNobody
from ..model.samples import document

IDENTITY = "3hash-lab-web"


class Engine:
    """Answers of Podman by the first words of a command; all else succeeds and says nothing."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.containers: list[dict[str, t.Any]] = []
        self.images: list[dict[str, t.Any]] = []

    def run(self, command: t.Sequence[str], **options: t.Any) -> Completed:
        assert command[0] == "podman" and options["timeout"] > 0
        self.asked.append(list(command[1:]))
        listed: dict[str, list[dict[str, t.Any]]] = {
            "ps --all": self.containers,
            "images --filter": self.images,
        }
        words = " ".join(command[1:3])
        if words in listed:
            return Completed(0, json.dumps(listed[words]), "")
        if words == "image exists":
            names = [name for image in self.images for name in image["Names"]]
            return Completed(0 if command[3] in names else 1, "", "")
        if words == "image inspect":
            return Completed(0, "0123\n", "")
        if command[1] == "load":
            return Completed(0, "Loaded image: localhost/lab-web:3hash\n", "")
        return Completed(0, "", "")

    def attach(self, node: str) -> str:
        self.asked.append(["attach", node])
        return f"/netns/{node}"

    def did(self, *words: str) -> list[list[str]]:
        """What was asked that begins with these words."""
        return [command for command in self.asked if command[: len(words)] == list(words)]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(podman, "run", engine.run)
    monkeypatch.setattr(Namespace, "create", lambda self, network: engine.asked.append(["create", network]))
    monkeypatch.setattr(Namespace, "attach", lambda self, node: engine.attach(node))
    monkeypatch.setattr(Namespace, "detach", lambda self, node: engine.asked.append(["detach", node]))
    monkeypatch.setattr(Namespace, "remove", lambda self: engine.asked.append(["remove"]))
    return engine


class Lab:
    def __init__(self, state: Path) -> None:
        self.state = state

    def platform(self, **options: t.Any) -> Podman:
        nodes = (Node("web", "web", 1, "10.87.0.2", options=options),)
        deployment = Deployment("lab", "/composition", "debian", "podman", nodes, state=str(self.state))
        return Podman(deployment, Progress())

    def record(self, platform: Podman, identity: str = IDENTITY, **volumes: Volume) -> Boot:
        (node,) = platform.deployment.nodes
        image = Image("web", "debian", identity, "amd64", {"oci": ImageFile("oci.tar", 1, "")}, "/b", volumes=volumes)
        told = document(node, interfaces=platform.interfaces(node))
        return Boot("podman", image, told, "digest", platform.effective_options(node))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "state")


def test_a_start_loads_the_image_connects_and_runs_a_container(lab: Lab, engine: Engine) -> None:
    platform = lab.platform()
    platform.start("web", lab.record(platform, data=Volume("/srv/data")))
    reference = f"localhost/{platform.shared}:{IDENTITY}"
    assert [" ".join(command[:2]) for command in engine.asked] == [
        "image exists",
        "load --quiet",
        "image inspect",
        "untag localhost/lab-web:3hash",
        "tag 0123",
        "create 10.87.0.0/16",
        "attach web",
        "run --detach",
    ]
    assert engine.did("load")[0][-1] == "/b/oci.tar"
    assert engine.did("tag") == [["tag", "0123", reference]]
    (command,) = engine.did("run")
    assert command[-1] == reference
    assert {"--systemd=always", "--network=ns:/netns/web", f"--name={platform.shared}-web"} <= set(command)
    assert not [option for option in command if option.startswith("--runtime")]
    data = lab.state / "volumes/web/data"
    assert data.is_dir()
    assert f"--mount=type=bind,source={data},destination=/srv/data" in command
    assert f"--mount=type=bind,source={lab.state}/nodes/web/in,destination=/run/compose/in,ro=true" in command


def test_runtime_is_an_option(lab: Lab, engine: Engine) -> None:
    platform = lab.platform(runtime="runc")
    assert "--runtime=runc" in platform.command("web", lab.record(platform), "/netns/web")


def test_limits_are_those_of_who_deploys(lab: Lab, engine: Engine) -> None:
    platform = lab.platform()
    command = platform.command("web", lab.record(platform), "/netns/web")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert f"--ulimit=nofile={files[0]}:{files[1]}" in command
    (processes,) = (option for option in command if option.startswith("--ulimit=nproc="))
    soft, hard = (int(limit) for limit in processes.rpartition("=")[2].split(":"))
    assert 0 < soft <= hard <= int(Path("/proc/sys/kernel/pid_max").read_text())


def test_an_image_that_is_there_is_not_loaded_again(lab: Lab, engine: Engine) -> None:
    platform = lab.platform()
    engine.images = [{"Names": [platform.reference(IDENTITY)]}]
    platform.start("web", lab.record(platform))
    assert not engine.did("load")
    assert len(engine.did("run")) == 1


def test_identities_with_other_characters_name_images_all_the_same(lab: Lab) -> None:
    platform = lab.platform()
    assert platform.reference("3hash-web-1.0+git=x").endswith(":3hash-web-1.0_git_x")
    assert len(platform.reference("x" * 200).rpartition(":")[2]) == 128


def test_only_containers_of_this_deployment_count(lab: Lab, engine: Engine) -> None:
    engine.containers = [{"Labels": {podman.NODE: name}, "Pid": pid} for name, pid in (("web", 7), ("old", 8))]
    platform = lab.platform()
    assert platform.running(["web", "other"]) == {"web": 7}
    assert f"label={podman.DEPLOYMENT}={platform.shared}" in engine.asked[0]
    other = Lab(lab.state / "elsewhere").platform()
    assert other.shared != platform.shared


def test_prune_drops_names_of_this_deployment_only(lab: Lab, engine: Engine) -> None:
    platform = lab.platform()
    state = platform.node_state("web")
    (lab.state / "nodes/web/in").mkdir(parents=True)
    state.told(lab.record(platform, "running"))
    mine = {identity: platform.reference(identity) for identity in ("running", "kept", "old")}
    engine.images = [
        {"Names": [mine["running"], "localhost/compose-other-123456:running"]},
        {"Names": [mine["kept"]]},
        {"Names": [mine["old"], "localhost/compose-other-123456:old"]},
        {"Names": None},
    ]
    platform.prune({"kept"})
    assert engine.did("rmi") == [["rmi", "--ignore", mine["old"]]]


def test_teardown_removes_what_lost_records_left(lab: Lab, engine: Engine) -> None:
    platform = lab.platform()
    engine.containers = [{"Labels": {podman.NODE: "lost"}, "Pid": 0}]
    engine.images = [{"Names": [platform.reference(IDENTITY)]}]
    platform.teardown()
    assert engine.asked[-1] == ["remove"]
    assert engine.did("rm")[0][-1] == f"{platform.shared}-lost"
    assert engine.did("detach") == [["detach", "lost"]]
    assert engine.did("rmi") == [["rmi", "--ignore", platform.reference(IDENTITY)]]


def test_a_container_gets_its_seconds_to_stop(lab: Lab, engine: Engine) -> None:
    platform = lab.platform()
    platform.halt("web", 7, 40, "switch")
    assert engine.asked == [["stop", "--time=40", f"{platform.shared}-web"]]


def test_check_refuses_a_runtime_that_is_missing(lab: Lab, engine: Engine) -> None:
    platform = lab.platform(runtime="rnuc")
    with pytest.raises(ComposeError, match="the program 'rnuc' is not installed"):
        refuse(platform.check(platform.deployment.nodes))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, engine: Engine) -> None:
    platform = Lab(tmp_path / "a,b").platform(runtime="rnuc")
    (node,) = platform.deployment.nodes
    problems = platform.check([node, replace(node, name="other", address=None)])
    assert [(problem.node, problem.key) for problem in problems] == [
        ("web", "runtime"),
        ("other", "runtime"),
        (None, "state_dir"),
        ("other", "address"),
    ]


def test_check_refuses_a_state_directory_that_cannot_be_mounted(tmp_path: Path, engine: Engine) -> None:
    platform = Lab(tmp_path / "a,b").platform()
    with pytest.raises(InputError, match="there is a comma in it"):
        refuse(platform.check(platform.deployment.nodes))


def test_check_refuses_other_users_than_root(lab: Lab, engine: Engine, as_nobody: AsNobody) -> None:
    platform = lab.platform()
    with as_nobody(), pytest.raises(ComposeError, match="platform 'podman' needs root: run 'sudo env"):
        refuse(platform.check(platform.deployment.nodes))
    assert os.geteuid() == 0


def test_what_something_else_holds_for_a_moment_is_removed_after_it(
    lab: Lab, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = lab.platform()
    busy = iter(["unlinkat userdata/shm: device or resource busy", ""])
    told: list[tuple[str, ...]] = []

    def told_podman(*command: str, **_rest: object) -> None:
        told.append(command)
        words = next(busy)
        if words:
            raise CommandError("podman rm", 125, words)

    monkeypatch.setattr(platform, "_podman", told_podman)
    platform.after_stop("server")
    assert [command[0] for command in told] == ["rm", "rm"]
