"""Projects of NixOS Compose: a flake with the outputs of ``nxc.lib.compose``, whose images are stubs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.builder import Nxc
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.project import Project
from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.setup import Setup
from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, EvaluationError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.image import read_image
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY, nothing_in, use_store

MACHINE = ["kernel", "initrd"]
ROLES = ["server", "node"]
NXC = REPOSITORY / ".cache/venv/nxc/bin"


@pytest.fixture(autouse=True)
def plain_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stubs are made by this host's shell, which a sandbox would hide."""
    monkeypatch.setenv("NIX_CONFIG", "sandbox = false\nsubstituters =")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "web"
    shutil.copytree(Path(__file__).parent / "nxc_project", path)
    return path


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "progress"


def builder(said: Path, *, trusted: bool = False, **options: t.Any) -> Nxc:
    given = validate_options(Nxc, options, "builder", "builder")
    return Nxc(str(REPOSITORY / "nix"), Progress(str(said)), given, trusted=trusted)


def content(project: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in project.rglob("*") if path.is_file()}


# -- what is known without a build ---------------------------------------------------------------------------------


def test_evaluation_needs_no_store(project: Path, said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = use_store(monkeypatch, tmp_path / "nix")
    composition = builder(said).evaluate(str(project), {})
    assert composition.name == "web"
    assert set(composition.roles) == {"server", "node"}
    assert composition.distribution == {"node": 2}
    assert composition.test_script == 'server.succeed("true")\n'
    assert composition.roles["node"].identity is None
    assert not store.exists()


def test_the_digest_follows_every_file_and_choice(project: Path, said: Path) -> None:
    def digest(parameters: t.Mapping[str, t.Any] | None = None, **options: t.Any) -> str:
        return builder(said, **options).evaluate(str(project), parameters or {}).digest

    first = digest()
    assert digest() == first
    (project / "build").mkdir()
    (project / "build/composition::vm").symlink_to("/nowhere")
    assert digest() == first
    others = {digest({"greeting": "x"}), digest(variant="dev"), digest(flavour="docker")}
    (project / "more.nix").write_text("{ }")
    assert len({first, digest(), *others}) == 5


def test_a_project_in_the_directory_nxc(project: Path, tmp_path: Path, said: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    project.rename(above / "nxc")
    (above / "nxc.json").symlink_to("nxc/nxc.json")
    assert builder(said).evaluate(str(above), {}).name == "above"


def test_one_of_several_compositions(project: Path, said: Path) -> None:
    (project / "compositions.nix").write_text("{ oar = ./composition.nix; k3s = { nodes.master = { }; }; }")
    (project / "nxc.json").write_text('{"composition": "compositions.nix", "flake": true}')
    oar = builder(said, composition="oar").evaluate(str(project), {})
    assert (oar.name, set(oar.roles)) == ("oar", {"server", "node"})
    assert set(builder(said, composition="k3s").evaluate(str(project), {}).roles) == {"master"}
    with pytest.raises(InputError, match=r"has the compositions k3s, oar; choose one with .* option composition"):
        builder(said).evaluate(str(project), {})
    with pytest.raises(InputError, match=r"has no composition 'ore'; did you mean 'oar'"):
        builder(said, composition="ore").evaluate(str(project), {})


def test_nxc_json_may_name_a_composition_that_is_not_there(project: Path, said: Path) -> None:
    """The flake alone says what is built."""
    (project / "nxc.json").write_text('{"composition": "other.nix"}')
    assert set(builder(said).evaluate(str(project), {}).roles) == {"server", "node"}
    (project / "composition.nix").unlink()
    missing = r"none of .*/other.nix, .*/composition.nix is there; .*nxc.json names other.nix"
    with pytest.raises(InputError, match=missing):
        builder(said).evaluate(str(project), {})


FLAKE = """{{
  description = "web";
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";
  inputs.nxc.url = "github:oar-team/nixos-compose";
  outputs = {arguments}:
    let system = "x86_64-linux"; in {{
      packages.${{system}} = {nxc}.lib.compose {{ inherit system; {nixpkgs} setup = ./setup.toml; {said} }};
      devShell.${{system}} = {nxc}.devShells.${{system}}.nxcShell;
    }};
}}
"""
#: How a flake names its inputs.
BY_NAME = {"arguments": "{ self, nixpkgs, nxc }", "nxc": "nxc", "nixpkgs": "inherit nixpkgs;"}
AS_A_SET = {"arguments": "inputs", "nxc": "inputs.nxc", "nixpkgs": "inherit (inputs) nixpkgs;"}


@pytest.mark.parametrize("inputs", [BY_NAME, AS_A_SET])
@pytest.mark.parametrize(
    ("said", "file"),
    [
        ("compositions = ./compositions.nix;", "compositions.nix"),
        ("composition = ./site/web.nix;", "web.nix"),
        ("composition = ./site;", "site"),
        ("composition = import ./site/web.nix;", "flake.nix"),
        ('composition = "${SELF}/site/web.nix";', "web.nix"),
        ('composition = SELF + "/site/web.nix";', "web.nix"),
        ("compositions = { one = ./site/web.nix; };", "flake.nix"),
        ("composition = { roles.app = { }; rolesDistribution.app = 3; };", "flake.nix"),
    ],
)
def test_what_the_flake_says_counts_and_not_nxc_json(
    project: Path, said: str, file: str, inputs: dict[str, str], tmp_path: Path
) -> None:
    said = said.replace("SELF", "inputs.self" if inputs is AS_A_SET else "self")
    (project / "flake.nix").write_text(FLAKE.format(said=said, **inputs))
    (project / "site").mkdir()
    composition = "{ lib, ... }: { roles.app = { }; rolesDistribution.app = 3; }"
    for path in ("site/web.nix", "site/default.nix"):
        (project / path).write_text(composition)
    (project / "compositions.nix").write_text("{ one = ./site/web.nix; }")
    found = builder(tmp_path / "said").evaluate(str(project), {})  # nxc.json says composition.nix, which is there
    assert (set(found.roles), found.distribution) == ({"app"}, {"app": 3})
    for usual in ("compositions.nix", "composition.nix"):
        if usual != file:
            (project / usual).unlink()
    assert set(builder(tmp_path / "said").evaluate(str(project), {}).roles) == {"app"}
    (project / "site/web.nix").write_text("{ }: {")
    (project / "site/default.nix").write_text("{ }: {")
    if "rolesDistribution" not in said:
        with pytest.raises(EvaluationError, match=f"(?s)^{project}/.*{file} does not evaluate.*syntax error"):
            builder(tmp_path / "said").evaluate(str(project), {})


def test_a_flake_for_each_system(project: Path, tmp_path: Path) -> None:
    (project / "flake.nix").write_text(
        """{ outputs = { self, nixpkgs, nxc, flake-utils }: flake-utils.lib.eachDefaultSystem (system: {
             packages = nxc.lib.compose { inherit nixpkgs system; composition = ./other.nix; };
           }); }"""
    )
    (project / "other.nix").write_text("{ nodes, ... }: { roles.app = { x = nodes.app.config.x; }; }")
    assert set(builder(tmp_path / "said").evaluate(str(project), {}).roles) == {"app"}
    (project / "other.nix").write_text("{ nodes, ... }: { roles.app = { }; testScript = nodes.app.config.x; }")
    with pytest.raises(EvaluationError, match="depends on 'nodes', which takes Nixpkgs"):
        builder(tmp_path / "said").evaluate(str(project), {})


def test_a_file_that_only_the_flake_knows_of_is_missing(project: Path, said: Path) -> None:
    (project / "flake.nix").write_text(FLAKE.format(said="composition = ./other.nix;", **BY_NAME))
    with pytest.raises(InputError, match=f"{project}/flake.nix says that {project}/other.nix has the compositions"):
        builder(said).evaluate(str(project), {})


@pytest.mark.parametrize("said_", ["composition = nixpkgs.legacyPackages.x.y;", "", 'composition = throw "no";'])
def test_a_flake_that_does_not_say_it_leaves_it_to_nxc_json(project: Path, said: Path, said_: str) -> None:
    (project / "flake.nix").write_text(FLAKE.format(said=said_, **BY_NAME))
    assert set(builder(said).evaluate(str(project), {}).roles) == {"server", "node"}


def test_ports_of_containers(project: Path, said: Path) -> None:
    ports = 'dockerPorts.server = [ "8443:443" "127.0.0.1:80:80/tcp" "53:53/udp" ]; roles.server = { }; '
    (project / "composition.nix").write_text(f"{{ ... }}: {{ {ports} }}")
    assert builder(said, flavour="docker").evaluate(str(project), {}).roles["server"].ports == (80, 443)
    assert builder(said, flavour="vm").evaluate(str(project), {}).roles["server"].ports == ()


def test_arguments_are_stand_ins(project: Path, said: Path) -> None:
    (project / "composition.nix").write_text(
        """{ pkgs, lib, modulesPath, nur, helpers, flavour, setup, system, extra ? 3, ... }: {
          roles = helpers.makeMany ({ pkgs, ... }: { x = [ pkgs.hello nur.repos.x.y ]; }) "node" 2
            // lib.optionalAttrs (flavour.vm or false) { server = import "${modulesPath}/x.nix"; };
          testScript = "# ${setup.params.greeting} ${system} ${toString extra}";
        }"""
    )
    composition = builder(said, flavour="vm").evaluate(str(project), {"greeting": "hi"})
    assert set(composition.roles) == {"node1", "node2", "server"}
    assert composition.test_script.startswith("# hi ") and composition.test_script.endswith(" 3")


def test_a_key_of_the_distribution_that_is_no_role_is_for_deployment_files_to_overrule(
    project: Path, said: Path
) -> None:
    text = (project / "composition.nix").read_text()
    (project / "composition.nix").write_text(text.replace("{ node = 2; }", "{ nodes = 2; }"))
    assert builder(said).evaluate(str(project), {}).distribution == {"nodes": 2}


def test_what_stand_ins_cannot_do_is_asked_of_the_flake(project: Path, said: Path) -> None:
    text = (project / "composition.nix").read_text()
    (project / "composition.nix").write_text(
        text.replace("{ setup, ... }", "{ setup, pkgs ? { hello = 5; }, ... }").replace(
            '"true"', '"${toString pkgs.hello}"'
        )
    )
    with pytest.raises(EvaluationError, match="(?s)without its flake:.*'trust: true' in the deployment file"):
        builder(said).evaluate(str(project), {})
    composition = builder(said, trusted=True).evaluate(str(project), {})
    assert composition.test_script == 'server.succeed("5")\n'
    assert composition.distribution == {"node": 2}
    assert "needs more than stand-ins" in said.read_text()


def test_what_evaluates_in_no_way_says_both(project: Path, said: Path) -> None:
    (project / "composition.nix").write_text("{ ... }: { roles = nothing; }")
    with pytest.raises(EvaluationError, match=r"(?s)evaluate without its flake:.*undefined variable 'nothing'"):
        builder(said).evaluate(str(project), {})


# -- setup.toml ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "variant", "parameters", "greeting"),
    [
        ('[params]\ngreeting = "a"', "", {}, "a"),
        ('[params]\ngreeting = "a"\n[dev.params]\ngreeting = "b"', "", {}, "a"),
        ('[params]\ngreeting = "a"\n[dev.params]\ngreeting = "b"', "dev", {}, "b"),
        ('[project]\nselected = "dev"\n[params]\ngreeting = "a"\n[dev.params]\ngreeting = "b"', "", {}, "b"),
        ('[params]\ngreeting = "a"\n[dev.params]\ngreeting = "b"', "dev", {"greeting": "c"}, "c"),
        ('[project]\nselected = "dev"\n[params]\ngreeting = "a"\n[dev.params]\ngreeting = "b"\n'
         '[ops.params]\ngreeting = "d"', "ops", {}, "d"),
        ('[params]\ngreeting = "a"\n[override-params]\ngreeting = "e"', "", {}, "e"),
        ('[params]\ngreeting = "a"\n[override-params]\ngreeting = "e"', "", {"greeting": "f"}, "f"),
    ],
)  # fmt: skip
def test_the_flake_gets_what_the_evaluation_says(
    project: Path, said: Path, toml: str, variant: str, parameters: dict[str, t.Any], greeting: str
) -> None:
    (project / "setup.toml").write_text(toml)
    text = (project / "composition.nix").read_text()
    (project / "composition.nix").write_text(text.replace('"true"', "${setup.params.greeting}"))
    before = content(project)
    instance = builder(said, variant=variant)
    assert instance.evaluate(str(project), parameters).test_script == f"server.succeed({greeting})\n"
    asked = (project, said, parameters, variant)
    assert identities(*asked) == identities(project, said, {"greeting": greeting}, "")
    assert content(project) == before


def identities(project: Path, said: Path, parameters: dict[str, t.Any], variant: str) -> dict[str, str]:
    return builder(said, variant=variant).identify(str(project), parameters, ROLES, MACHINE)


@pytest.mark.parametrize(
    ("toml", "variant", "parameters", "message"),
    [
        ("[params]\na = 1", "prod", {}, "setup.toml has no variant 'prod'"),
        ("[project]", "", {"a": 1}, r"no table \[params\]"),
        ("[params", "", {}, "setup.toml"),
        ("[options]\nflavour = 3", "", {}, r"setup.toml: options.flavour is 3, expected a string"),
        ("[options]\nnix-flags = [1]", "", {}, r"setup.toml: options.nix-flags is \[1\], expected a string"),
        (None, "", {"a": 1}, "no setup.toml, so there is no variant and no parameter"),
        (None, "dev", {}, "no setup.toml, so there is no variant and no parameter"),
    ],
)
def test_a_setup_that_cannot_be_is_refused(
    project: Path, said: Path, toml: str | None, variant: str, parameters: dict[str, t.Any], message: str
) -> None:
    if toml is None:
        (project / "setup.toml").unlink()
    else:
        (project / "setup.toml").write_text(toml)
    with pytest.raises(InputError, match=message):
        builder(said, variant=variant).evaluate(str(project), parameters)


def test_setup_files_hold_every_value(tmp_path: Path, project: Path) -> None:
    data = {"params": {"text": 'a "b" \\ é\n', "list": [1, {"x": True}], "a.b": 1.5}, "project": {}}
    Setup(data).write(str(project / "setup.toml"))
    expression = f"builtins.fromTOML (builtins.readFile {project}/setup.toml)"
    command = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", expression]
    assert json.loads(subprocess.run(command, check=True, capture_output=True).stdout) == data
    with pytest.raises(InputError, match=r"setup: params.a is null"):
        Setup({"params": {"a": None}}).write(str(project / "setup.toml"))


# -- identity and builds -------------------------------------------------------------------------------------------


def test_the_identity_is_known_before_anything_is_built(project: Path, said: Path, own_store: Path) -> None:
    found = identities(project, said, {}, "")
    assert all(name.endswith(f"-nixos-system-{role}-25.05") for role, name in found.items())
    assert [path.name for path in own_store.glob("store/*-nixos-system-*") if not path.name.endswith(".drv")] == []
    changed = identities(project, said, {"greeting": "x"}, "")
    assert changed["node"] == found["node"] and changed["server"] != found["server"]


def test_a_compose_info_that_a_program_makes_is_built_to_be_read(project: Path, said: Path) -> None:
    found = builder(said, flavour="programmed").identify(str(project), {}, ROLES, MACHINE)
    assert found == identities(project, said, {}, "")


@pytest.mark.parametrize(
    ("wanted", "flavour", "formats"),
    [
        (["root", "kernel", "initrd"], "vm", {"kernel", "initrd"}),
        (["tar"], "g5k-image", {"tar"}),
        (["oci"], "docker", {"oci"}),
        (["root"], "nspawn", {"toplevel"}),
    ],
)
def test_builds_of_stub_outputs_in_the_flavour_that_suits_a_platform(
    project: Path, said: Path, tmp_path: Path, own_store: Path, wanted: list[str], flavour: str, formats: set[str]
) -> None:
    instance, roots = builder(said), tmp_path / "roots"
    assert instance.is_built(str(project), {}, ROLES, wanted) == {"server": False, "node": False}
    images = instance.build(str(project), {}, ROLES, wanted, str(roots))
    assert instance.is_built(str(project), {}, ROLES, wanted) == {"server": True, "node": True}
    assert {role: image.identity for role, image in images.items()} == instance.identify(
        str(project), {}, ROLES, wanted
    )
    for role, image in images.items():
        assert image == read_image(str(roots / image.identity))
        assert (image.role, image.builder, image.identity_file) == (role, "nxc", "/run/current-system")
        assert image.handover.flavour == flavour
        assert set(image.formats) == formats
        assert os.path.basename(image.handover.system) == image.identity
        assert [package.name for package in image.packages] == [f"nixos-system-{role}"]
    subprocess.run(["nix-store", "--gc"], check=True, capture_output=True)
    assert all(os.path.exists(image.path(format_)) for image in images.values() for format_ in formats)
    assert os.path.exists(images["server"].handover.system)
    assert content(project).keys() == {str(project / name) for name in os.listdir(project)}


def test_a_flavour_that_does_not_suit_the_platform_is_refused(project: Path, said: Path) -> None:
    with pytest.raises(InputError, match="'docker' makes images in format oci, but the platform wants root, kernel"):
        builder(said, flavour="docker").identify(str(project), {}, ROLES, ["root", "kernel"])


def test_a_build_that_fails_says_why(project: Path, said: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"(?s)build composition::broken.*it broke") as error:
        builder(said, flavour="broken").build(str(project), {}, ROLES, MACHINE, str(tmp_path / "roots"))
    assert error.value.failure is not None and error.value.failure.kind == "build"


def test_an_unknown_flavour_is_told_in_the_words_of_nix(project: Path, said: Path) -> None:
    with pytest.raises(EvaluationError, match=r"(?s)composition::vmm does not evaluate.*does not provide attribute"):
        builder(said, flavour="vmm").identify(str(project), {}, ROLES, MACHINE)


def test_images_are_built_twice_and_compared(project: Path, said: Path) -> None:
    flake = (project / "flake.nix").read_text()
    (project / "flake.nix").write_text(flake.replace("echo initrd >", "date +%N >"))
    found = builder(said).check_reproducible(str(project), {}, ["server"], MACHINE)
    assert "-image" in found["server"] and "may not be deterministic" in found["server"]
    assert found["server"].endswith("/initrd")


def test_only_what_git_tracks_counts(project: Path, said: Path) -> None:
    above = project.parent
    for command in (["init", "-q"], ["add", "web/flake.nix", "web/composition.nix", "web/nxc.json", "web/setup.toml"]):
        subprocess.run(["git", "-C", str(above), *command], check=True)
    (project / "untracked").write_text("")
    plain = identities(project, said, {}, "")
    assert identities(project, said, {"greeting": "hello"}, "") == plain
    copy = Project.find(str(project)).copy_to(str(above / "elsewhere"))
    assert sorted(os.listdir(copy.directory)) == ["composition.nix", "flake.nix", "nxc.json", "setup.toml"]
    subprocess.run(["git", "-C", str(above), "rm", "-q", "--cached", "web/flake.nix"], check=True)
    with pytest.raises(InputError, match="flake.nix is not tracked by git"):
        identities(project, said, {"greeting": "x"}, "")


# -- nxc itself ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [".", "deep/project"])
def test_the_real_nxc_builds_stub_outputs_and_leaves_the_project_alone(
    project: Path, said: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    monkeypatch.setenv("PATH", f"{NXC}:{os.environ['PATH']}")
    if within != ".":
        (tmp_path / "repository" / within).parent.mkdir(parents=True)
        project = project.rename(tmp_path / "repository" / within)
        for command in (["init", "-q"], ["add", "."]):
            subprocess.run(["git", "-C", str(tmp_path / "repository"), *command], check=True)
    before = content(project)
    parameters = {"greeting": f"built-by-nxc-{within}"}
    instance = builder(said, tool="nxc", variant="dev")
    images = instance.build(str(project), parameters, ROLES, MACHINE, str(tmp_path / "roots"))
    greeting = Path(images["server"].handover.system, "greeting").read_text().strip()
    assert greeting == parameters["greeting"]
    assert {role: image.identity for role, image in images.items()} == identities(project, said, parameters, "dev")
    assert content(project) == before


def test_a_tool_that_is_unknown_or_missing_is_refused(
    project: Path, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="tool of builder 'nxc' is 'make', expected 'nix' or 'nxc'"):
        identities_by(project, said, "make")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InputError, match="there is no program nxc; pip install nixos-compose"):
        identities_by(project, said, "nxc")


def identities_by(project: Path, said: Path, tool: str) -> None:
    builder(said, tool=tool).identify(str(project), {}, ROLES, MACHINE)


def test_refusals_leave_nothing_in_the_store(project: Path, said: Path, own_store: Path) -> None:
    with pytest.raises(InputError):
        identities(project, said, {}, "prod")
    assert nothing_in(own_store)
