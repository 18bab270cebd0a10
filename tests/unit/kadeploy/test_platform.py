"""What the platform refuses before anything is touched, and whose machines are whose; on the stand-in."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.bundle import write_bundle
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, Installed
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy import machines, rest
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.platform import Kadeploy
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document
from .conftest import Serve

INSTALLED = Installed("/boot/vmlinuz", "/boot/initrd.img", "gzip")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows the names of these machines, and nobody is asked twice."""
    monkeypatch.setattr(machines, "_resolve", lambda machine: "192.0.2.7" if machine == "known" else "")
    monkeypatch.setattr(rest, "PATIENCE", 0)


def platform(tmp_path: Path, *names: str, url: str = "http://127.0.0.1:9", **options: t.Any) -> Kadeploy:
    """With nodes on these machines."""
    (tmp_path / "served").mkdir(exist_ok=True)
    given = {"url": url, "user": "alice", "directory": str(tmp_path / "served"), **options}
    nodes = tuple(
        Node(f"web{at}", "web", at, f"10.87.0.{at}", options={**given, "machine": name})
        for at, name in enumerate(names, 1)
    )
    return Kadeploy(Deployment("lab", "/c", "debian", "kadeploy", nodes, state=str(tmp_path / "state")), Progress())


def refused(chosen: Kadeploy) -> str:
    """What is wrong."""
    with pytest.raises(ComposeError) as error:
        refuse(chosen.check(chosen.deployment.nodes))
    return str(error.value)


def targets(chosen: Kadeploy, tmp_path: Path) -> list[Target]:
    (tmp_path / "archive").write_bytes(b"archive")
    image = Image("web", "debian", "v1", "amd64", {}, installed=INSTALLED)
    image = write_bundle(str(tmp_path / "bundle"), image, {"installed": str(tmp_path / "archive")})
    return [Target(node, image, document(node), "a-b") for node in chosen.deployment.nodes]


def test_good_machines_pass(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1", "sim-2", url=serve().url)
    refuse(chosen.check(chosen.deployment.nodes))
    assert chosen.stage(targets(chosen, tmp_path)) is True
    assert chosen.stage(targets(chosen, tmp_path)) is False


def test_a_machine_that_does_not_exist(serve: Serve, tmp_path: Path) -> None:
    said = refused(platform(tmp_path, "sim-1", "sim-9", url=serve().url))
    assert "web2: Kadeploy at http://127.0.0.1:" in said and "has no machine 'sim-9'" in said


def test_two_nodes_on_one_machine(tmp_path: Path) -> None:
    assert "nodes 'web1' and 'web2' have the same machine, sim-1" in refused(platform(tmp_path, "sim-1", "sim-1"))


def test_more_nodes_than_machines(tmp_path: Path) -> None:
    said = refused(platform(tmp_path, "", "", machines=["sim-[1-1]"]))
    assert "web2: machines has 1 only, and other nodes have them" in said


def test_all_that_is_wrong_is_told_at_once(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-9", "", "sim-1", "sim-1", url=serve().url, directory=str(tmp_path / "nowhere"))
    nodes = [replace(node, address=None) if node.name == "web3" else node for node in chosen.deployment.nodes]
    assert [(problem.node, problem.key) for problem in chosen.check(nodes)] == [
        ("web2", "machine"),
        ("web3", "machine"),
        ("web4", "machine"),
        ("web3", "address"),
        (None, "directory"),
        ("web1", "machine"),
    ]


def test_nobody_answers(tmp_path: Path) -> None:
    assert "Kadeploy at http://127.0.0.1:9 cannot be reached" in refused(platform(tmp_path, "sim-1"))


def test_wrong_password(serve: Serve, tmp_path: Path) -> None:
    url = serve(passwords={"alice": "right"}).url
    deployment = replace(platform(tmp_path, "sim-1", url=url).deployment, credentials={"password": "wrong"})
    said = refused(Kadeploy(deployment, Progress()))
    assert "Kadeploy refused to list nodes: " in said and "Authentication failed" in said and "wrong" not in said


def test_no_directory(serve: Serve, tmp_path: Path) -> None:
    said = refused(platform(tmp_path, "sim-1", url=serve().url, directory=str(tmp_path / "nowhere")))
    assert f"directory {tmp_path}/nowhere does not exist" in said


def test_what_is_missing_in_the_file(tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1", url=None)  # type: ignore[arg-type]
    assert "the option 'url' is missing in the deployment file" in refused(chosen)


def test_no_address(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1", url=serve().url)
    lost = replace(chosen.deployment.nodes[0], address=None)
    with pytest.raises(InputError, match="'web1' has no address: the resolver of this host does not know"):
        refuse(chosen.check([lost]))


def test_machines_without_the_right_to_deploy(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-3", "sim-4", url=serve().url)
    refuse(chosen.check(chosen.deployment.nodes))
    with pytest.raises(ComposeError, match="not have sufficient rights.*the job has not begun, is over"):
        chosen.stage(targets(chosen, tmp_path))


def test_a_role_with_data_volumes_and_no_disk_for_them(serve: Serve, tmp_path: Path) -> None:
    chosen = platform(tmp_path, "sim-1", url=serve().url)
    (target,) = targets(chosen, tmp_path)
    image = replace(target.image, volumes={"db": Volume("/srv", 10)})
    with pytest.raises(InputError, match=r"role 'web' has data volumes for which no disk is given: db"):
        chosen.stage([replace(target, image=image)])


@pytest.mark.parametrize("word", ["sim-[1-", "sim-[a-b]", "sim-[3-1]", "sim-1]", "sim-[]"])
def test_ranges_that_are_none(word: str) -> None:
    with pytest.raises(InputError, match="expected ranges such as"):
        machines.expanded(word)


def test_ranges() -> None:
    assert machines.expanded("dahu-[1-3,7].example.org") == [f"dahu-{at}.example.org" for at in (1, 2, 3, 7)]
    assert machines.expanded("dahu-1") == ["dahu-1"]
    assert [machines.cluster_of(name) for name in ("dahu-1.example.org", "sim-12", "node3")] == ["dahu", "sim", "node"]


def test_nodes_keep_their_machines() -> None:
    def nodes(*names: str, words: str = "sim-[1-4]") -> list[Node]:
        return [Node(name, "web", options={"machines": [words]}) for name in names]

    assert machines.bind(nodes("a", "b"), {}) == {"a": "sim-1", "b": "sim-2"}
    assert machines.bind(nodes("a", "b", "c"), {"b": "sim-1"}) == {"b": "sim-1", "a": "sim-2", "c": "sim-3"}
    # One that is not offered any more is left.
    assert machines.bind(nodes("a", words="sim-[3-4]"), {"a": "sim-1"}) == {"a": "sim-3"}
    named = [Node("x", "web", options={"machine": "sim-1"}), *nodes("a", "b")]
    assert machines.bind(named, {"a": "sim-1"}) == {"x": "sim-1", "a": "sim-2", "b": "sim-3"}


def test_addresses_are_those_of_the_machines(tmp_path: Path) -> None:
    chosen = platform(tmp_path, "known", "unknown")
    assert chosen.addresses(chosen.deployment.nodes) == {"web1": "192.0.2.7"}
    given = [replace(node, address_given=True) for node in chosen.deployment.nodes]
    assert chosen.addresses(given) == {}


def test_a_machine_of_another_deployment(serve: Serve, tmp_path: Path) -> None:
    url = serve().url

    def of(name: str, *machines_: str, **options: t.Any) -> Kadeploy:
        chosen = platform(tmp_path, *machines_, **{"url": url, **options})
        return Kadeploy(replace(chosen.deployment, name=name, state=str(tmp_path / "all" / name)), Progress())

    one, two = of("one", "sim-1", "sim-2"), of("two", "sim-2", "sim-3")
    refuse(one.check(one.deployment.nodes))
    refuse(two.check(two.deployment.nodes))  # nobody has it yet
    one.stage(targets(one, tmp_path))
    said = "'web1' is to have the machine sim-2, which node 'web2' of the deployment 'one' has"
    assert said in refused(two)
    with pytest.raises(InputError, match=said):
        two.stage(targets(two, tmp_path))
    assert Kadeploy.machines_of(one.deployment) == {"web1": "sim-1", "web2": "sim-2"}
    assert not (tmp_path / "all/two/machines.json").exists()
    # Another site may have machines of the same names; asked by another way, it may be the same one.
    assert "cannot be reached" in refused(of("three", "sim-2", url="http://127.0.0.1:9"))
    assert said in refused(of("four", "sim-2", url=None, backend="command"))
    one.remove(["web2"], data=False, tell=lambda name, result: None)
    refuse(two.check(two.deployment.nodes))
    one.teardown()
    assert not (tmp_path / "all/one/machines.json").exists()


def test_the_inventory_knows_machines_that_nodes_were_given(tmp_path: Path) -> None:
    chosen = platform(tmp_path, "", "sim-7", machines=["sim-[1-4]"])
    assert Kadeploy.machines_of(chosen.deployment) == {"web2": "sim-7"}
    chosen._site.claims.write("rest", {"web1": "sim-3", "web2": "sim-2"})
    assert Kadeploy.machines_of(chosen.deployment) == {"web1": "sim-3", "web2": "sim-7"}
