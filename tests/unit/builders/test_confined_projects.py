"""Projects of other tools can read, fetch and run nothing but their own files when they are read, unless trusted."""

from __future__ import annotations

import subprocess
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.base import Builder
from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.builders.revision import git_revision
from ansible_collections.immutable.compose.plugins.module_utils.errors import EvaluationError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY

SECRET = "the secret of somebody else"


def builder(name: str, *, trusted: bool = False) -> Builder:
    return BUILDERS[name](str(REPOSITORY / "nix"), Progress(), {}, trusted=trusted)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_each_builder_is_told_what_is_trusted(name: str) -> None:
    assert builder(name, trusted=True).within("/x") == []
    assert builder(name).within("/x")[0] == "/x"


@pytest.fixture
def server() -> t.Iterator[HTTPServer]:
    """Remembers what it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_args: object) -> None:
            pass

    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked = asked  # type: ignore[attr-defined]
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


#: Form → its file, and what evaluates only with the value of an expression.
FORMS = {
    "nixos composition": ("nixos", "composition.nix", "{{ ... }}: {{ roles.a = {{ }}; testScript = {}; }}"),
    "nixos hive": ("nixos", "hive.nix", '{{ ${{builtins.seq ({}) "a"}} = {{ }}; }}'),
    "nixos expression": ("nixos", "default.nix", '{{ ${{builtins.seq ({}) "a"}} = {{ }}; }}'),
    "nxc": ("nxc", "composition.nix", "{{ ... }}: {{ roles.a = {{ }}; testScript = {}; }}"),
}


def project(directory: Path, form: str, expression: str) -> tuple[str, str]:
    name, file, text = FORMS[form]
    path = directory / "project"
    path.mkdir()
    (path / file).write_text(text.format(expression))
    if name == "nxc":
        (path / "flake.nix").write_text("{ outputs = _: { }; }")
    return name, str(path)


@pytest.mark.parametrize("form", FORMS)
def test_its_own_files_are_enough(form: str, tmp_path: Path) -> None:
    name, path = project(tmp_path, form, "builtins.readFile ./text")
    Path(path, "text").write_text("")
    assert set(builder(name).evaluate(path, {}).roles) == {"a"}


@pytest.mark.parametrize("form", FORMS)
def test_no_other_file(form: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    name, path = project(tmp_path, form, f'builtins.readFile "{secret}"')
    with pytest.raises(EvaluationError, match="'trust: true' in the deployment file"):
        builder(name).evaluate(path, {})
    assert set(builder(name, trusted=True).evaluate(path, {}).roles) == {"a"}


@pytest.mark.parametrize("form", FORMS)
def test_nobody_is_asked(form: str, tmp_path: Path, server: HTTPServer) -> None:
    name, path = project(tmp_path, form, f'builtins.fetchurl "http://127.0.0.1:{server.server_address[1]}/token"')
    with pytest.raises(EvaluationError, match="'trust: true' in the deployment file"):
        builder(name).evaluate(path, {})
    assert server.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", FORMS)
def test_no_variable_of_the_environment(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", SECRET)
    name, path = project(tmp_path, form, 'if builtins.getEnv "VAULT_TOKEN" == "" then "" else throw "it is known"')
    assert set(builder(name).evaluate(path, {}).roles) == {"a"}


def test_inputs_of_a_flake_are_not_fetched(tmp_path: Path, server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}/inputs.tar.gz"
    path = tmp_path / "site"
    path.mkdir()
    (path / "flake.nix").write_text(
        f'{{ inputs.x.url = "{url}"; outputs = {{ x, ... }}: {{ nixosConfigurations.a = {{ }}; }}; }}'
    )
    with pytest.raises(EvaluationError, match="'trust: true' in the deployment file"):
        builder("nixos").evaluate(str(path), {})
    assert server.asked == []  # type: ignore[attr-defined]
    (path / "composition.yml").write_text("roles: {a: {}}")
    assert set(builder("nixos").evaluate(str(path), {}).roles) == {"a"}, "what stands beside it says it"


def test_a_program_in_scheme_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, programs, path = tmp_path / "mark", tmp_path / "bin", tmp_path / "lab"
    path.mkdir()
    (path / "composition.scm").write_text('(system* "true")')
    programs.mkdir()
    (programs / "guix").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (programs / "guix").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    with pytest.raises(EvaluationError, match="'trust: true' in the deployment file"):
        builder("guix").evaluate(str(path), {})
    assert not mark.exists()


@pytest.mark.parametrize("given", ["../secret", "/etc/hostname", "link"])
def test_a_test_script_of_guix_is_a_file_of_the_composition(tmp_path: Path, given: str) -> None:
    path = tmp_path / "lab"
    path.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    (path / "link").symlink_to(tmp_path / "secret")
    (path / "a.scm").write_text("")
    (path / "composition.yml").write_text(f"roles: {{a: {{file: a.scm}}}}\ntestScript: {{file: {given}}}\n")
    with pytest.raises(InputError, match=r"testScript.file: .* is not below"):
        builder("guix").evaluate(str(path), {})


@pytest.mark.parametrize("bare", [False, True])
def test_what_a_repository_configures_is_not_run(tmp_path: Path, bare: bool) -> None:
    """A bare one may lie in one that was just cloned, as files of it."""
    mark, path = tmp_path / "mark", tmp_path / "repository"
    path.mkdir()

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, "-C", str(path), *arguments], check=True, capture_output=True)

    git("init")
    (path / "file").write_text("")
    git("add", "file")
    git("commit", "-m", "first")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    git("config", "core.fsmonitor", str(program))
    where = path
    if bare:
        git("config", "core.worktree", str(path))
        where = path / ".git"
        where = where.rename(tmp_path / "inside")
    subprocess.run(["git", "-C", str(where), "status"], check=False, capture_output=True)
    assert mark.exists(), "git itself runs it"
    mark.unlink()
    git_revision(str(where))
    assert not mark.exists()
