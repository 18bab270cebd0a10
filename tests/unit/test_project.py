"""The rules of the project that no linter knows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.immutable.compose.plugins.module_utils.process import PACKAGES

ROOT = Path(__file__).parents[2]
MAX_LINES = 450

HEADER = """\
# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""

#: Whoever installs decides where packages come from.
REGISTRY_HOST = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|crates|quay|docker|ghcr|galaxy\.ansible|proxy\.golang|[a-z]+\.debian|cache\.nixos|channels\.nixos)"
    r"\.(?:org|io|com|net)\b"
)
#: Paths of one developer's machine.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:(?:work|Users)/|(?:home/\w+|root)/\.(?:cache|pyenv|ansible)\b)")

#: Import name → name of the distribution, where they differ.
DISTRIBUTIONS = {
    "cyclonedx": "cyclonedx-python-lib",
    "execo_engine": "execo",
    "grid5000": "python-grid5000",
    "packageurl": "packageurl-python",
    "requests_toolbelt": "requests-toolbelt",
    "spdx_tools": "spdx-tools",
    "vl_convert": "vl-convert-python",
    "websocket": "websocket-client",
    "yaml": "pyyaml",
}
#: Come with ansible-core, and with requests. Jinja2 also has to be where there is no ansible-core.
BROUGHT_ALONG = {"ansible", "ansible_collections", "packaging", "pyyaml", "urllib3"}
#: Debian packages that no Debian is without, and systemd, which is asked for only where it manages the host.
ESSENTIAL = {"apt", "coreutils", "dash", "dpkg", "mount", "systemd", "util-linux"}


def tracked() -> list[Path]:
    """Files that git knows or would take."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def text_files() -> t.Iterator[tuple[str, str]]:
    for path in tracked():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))


def strings(path: Path) -> dict[str, t.Any]:
    """String constants assigned in a file (``DOCUMENTATION``, …), read as YAML."""
    return {
        node.targets[0].id: yaml.safe_load(node.value.value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def imports(path: Path) -> set[str]:
    """Top-level names of the absolute imports in a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def requirements(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {re.split(r"[<>=~!;# ]", line)[0].lower() for line in lines if line and not line.startswith("#")}


def test_every_plugin_has_the_licence_header() -> None:
    wrong = [
        str(path)
        for path in (ROOT / "plugins").rglob("*.py")
        if not path.read_text(encoding="utf-8").startswith(HEADER)
    ]
    assert wrong == []


@pytest.mark.parametrize("forbidden", [REGISTRY_HOST, MACHINE_PATH], ids=["registry-host", "machine-path"])
def test_nothing_belongs_to_one_machine(forbidden: re.Pattern[str]) -> None:
    wrong = [
        f"{name}:{number}: {line.strip()}"
        for name, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if forbidden.search(line)
    ]
    assert wrong == []


def test_forbidden_patterns_find_what_they_are_for() -> None:
    assert REGISTRY_HOST.search("see https://deb" + ".debian.org/debian")
    assert REGISTRY_HOST.search("index-url = https://pypi" + ".org/simple")
    assert MACHINE_PATH.search("cd /work" + "/main")
    assert MACHINE_PATH.search("/root" + "/.pyenv/shims")
    assert not MACHINE_PATH.search("${HOME}/work/x ./work/x /home/alice/data")


def test_files_are_short() -> None:
    long = {
        name: lines
        for name, text in text_files()
        if name.endswith((".py", ".nix", ".yml", ".sh")) and (lines := text.count("\n")) > MAX_LINES
    }
    assert long == {}


def test_playbooks_can_be_called_by_name() -> None:
    names = [path.stem for path in (ROOT / "playbooks").glob("*.yml")]
    assert names
    assert [name for name in names if not name.isidentifier()] == []


def test_playbooks_fail_without_nodes_and_pin_their_strategy() -> None:
    without_nodes = ("awx", "experiment", "init", "lint_legacy")
    #: A group that a play before has made.
    made = "{{ groups['immutable_reporting'] | default([]) }}"
    paths = [path for path in (ROOT / "playbooks").glob("*.yml") if path.stem not in without_nodes]
    plays = [play for path in paths for play in yaml.safe_load(path.read_text())]
    assert {play["hosts"] for play in plays} - {made} == {"{{ lookup('immutable.compose.nodes') }}"}
    assert {play["strategy"] for play in plays} == {"linear"}


def test_every_composition_is_a_template_unless_it_needs_more_than_this_computer() -> None:
    """Secrets, or a platform that boots what Guix makes of a system that exports NFS: a Proxmox VE."""
    secret = {path.parent.parent.name for path in (ROOT / "inventories").glob("*/group_vars/deployment_*.yml")}
    templates = yaml.safe_load((ROOT / "roles/init/vars/main.yml").read_text(encoding="utf-8"))["init_templates"]
    assert set(templates) == {path.name for path in (ROOT / "compositions").iterdir()} - secret - {"nfs-guix"}


@pytest.mark.parametrize("module", modules())
def test_module_says_what_check_mode_and_diff_mode_do(module: str) -> None:
    documentation = strings(ROOT / f"plugins/modules/{module}.py")["DOCUMENTATION"]
    attributes = dict(documentation.get("attributes", {}))
    for fragment in documentation.get("extends_documentation_fragment", []):
        name, _dot, part = fragment.split(".", 2)[2].partition(".")
        documented = strings(ROOT / f"plugins/doc_fragments/{name}.py")[part.upper() or "DOCUMENTATION"]
        attributes |= documented.get("attributes", {})
    assert {"check_mode", "diff_mode"} <= attributes.keys()


def test_action_group_has_every_module() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["compose"] == modules()


def test_every_fleet_module_has_the_one_action() -> None:
    from ansible_collections.immutable.compose.plugins.plugin_utils.fleet import STEPS

    actions = {path.stem: path.resolve().name for path in (ROOT / "plugins/action").glob("*.py")}
    ours = ("deployment_report", "experiment_record", "experiment_run", "oar_job", "play_info")
    alone = {name: f"{name}.py" for name in ours}
    assert actions == {**dict.fromkeys(STEPS, "deployment_plan.py"), **alone}
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    assert "plugin_routing" not in runtime, "ansible-lint would propose the redirect's target instead of the module"


def test_what_fleet_modules_return_is_documented_where_it_is() -> None:
    """Of all deployments together, or of each by its name, whose type the schema describes."""
    from ansible_collections.immutable.compose.plugins.plugin_utils.fleet import STEPS

    together = {"asked", "changed", "failed_nodes", "nodes", "pending", "put_off"}
    wrong = []
    for module in STEPS:
        documented = strings(ROOT / f"plugins/modules/{module}.py")["RETURN"] or {}
        of_each = documented.pop("deployments")["contains"]["NAME"]["contains"] if "deployments" in documented else {}
        schema = json.loads((ROOT / f"docs/schemas/{module}.json").read_text(encoding="utf-8"))
        known = schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        wrong += [f"{module}: {name}" for name in documented if name not in together]
        wrong += [f"{module}: {name}" for name in of_each if name in together or name not in known["properties"]]
    assert wrong == []


def test_execution_environments_get_the_requirements() -> None:
    needs = yaml.safe_load((ROOT / "meta/execution-environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert needs == {"python": "requirements.txt", "system": "bindep.txt"}
    packed = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    assert not set(needs.values()) & set(packed)


def test_requirements_are_what_the_plugins_import() -> None:
    imported = {name for path in (ROOT / "plugins").rglob("*.py") for name in imports(path)} - set(
        sys.stdlib_module_names
    )
    assert {DISTRIBUTIONS.get(name, name) for name in imported} - BROUGHT_ALONG == {
        *requirements("requirements.txt"),
        *requirements("requirements-sbom.txt"),
        *requirements("requirements-experiment.txt"),
    }


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-sbom.txt", "requirements-experiment.txt"])
def test_every_requirement_says_what_it_is_for(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.match(r"#|[\w-]+>=[\d.]+ +# \w+", line)] == []


def test_setup_installs_every_program_that_an_error_message_may_name() -> None:
    installed = {
        line.split()[0]
        for line in (ROOT / "bindep.txt").read_text(encoding="utf-8").splitlines()
        if "platform:dpkg" in line
    }
    assert set(PACKAGES.values()) - ESSENTIAL - installed == set()
