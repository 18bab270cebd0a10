"""A composition that is read can read, fetch and run nothing but its own files, unless its deployment trusts it."""

from __future__ import annotations

import threading
import typing as t
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.nix import nix
from ansible_collections.immutable.compose.plugins.module_utils.errors import EvaluationError
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import REPOSITORY, Compose


@pytest.fixture
def trusting(progress: Path) -> Debian:
    return Debian(str(REPOSITORY / "nix"), Progress(str(progress)), trusted=True)


@pytest.fixture
def server() -> t.Iterator[HTTPServer]:
    """Remembers what it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"42")

        def log_message(self, *_args: object) -> None:
            pass

    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked = asked  # type: ignore[attr-defined]
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()


def composition(expression: str) -> str:
    """One that evaluates only with the value of an expression."""
    return f'{{ ... }}: {{ roles.app.files."/etc/found".text = {expression}; }}'


SECRET = "the secret of somebody else"


def attempts(outside: Path) -> dict[str, str]:
    secret = outside / "secret"
    return {
        "readFile": f"builtins.readFile {secret}",
        "readFile of a text": f'builtins.readFile "{secret}"',
        "path": f'builtins.readFile (/. + "{secret}")',
        "readDir": f'builtins.concatStringsSep " " (builtins.attrNames (builtins.readDir {outside}))',
        "pathExists": f'if builtins.pathExists {secret} then "yes" else throw "it is not seen"',
        "import": f"import {outside}/expression.nix",
        "scopedImport": f"builtins.scopedImport {{ }} {outside}/expression.nix",
        "interpolation": f'builtins.readFile "${{{secret}}}"',
        "builtins.path": f"builtins.readFile (builtins.path {{ path = {secret}; }})",
        "filterSource": f'builtins.readFile ((builtins.filterSource (_: _: true) {outside}) + "/secret")',
        "hashFile": f'builtins.hashFile "sha256" {secret}',
        "link": "builtins.readFile ./link",
        "link to a directory": "builtins.readFile ./away/secret",
        "dots": f'builtins.readFile (./. + "/../{outside.name}/secret")',
        "fetchGit": f'builtins.readFile ((builtins.fetchGit {outside}) + "/secret")',
        "search path": "builtins.readFile <outside/secret>",
    }


@pytest.mark.parametrize("attempt", attempts(Path("/")))
def test_no_file_but_its_own(
    debian: Debian, compose: Compose, tmp_path: Path, attempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (outside / "expression.nix").write_text(f'"{SECRET}"')
    monkeypatch.setenv("NIX_PATH", f"outside={outside}:{outside}")
    path = Path(compose(composition(attempts(outside)[attempt])))
    (path / "link").symlink_to(outside / "secret")
    (path / "away").symlink_to(outside)
    with pytest.raises(EvaluationError) as refused:
        debian.evaluate(str(path), {})
    assert SECRET not in refused.value.message
    if "pathExists" not in attempt:
        assert "'trust: true' in the deployment file" in refused.value.message or attempt == "search path"


def test_with_trust_it_may(trusting: Debian, compose: Compose, tmp_path: Path) -> None:
    secret = tmp_path / "outside"
    secret.write_text(SECRET)
    path = compose(composition(f"builtins.readFile {secret}"))
    assert set(trusting.evaluate(path, {}).roles) == {"app"}


def test_no_variable_of_the_environment(debian: Debian, compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", SECRET)
    path = compose(composition('if builtins.getEnv "VAULT_TOKEN" == "" then "none" else throw "it is known"'))
    assert set(debian.evaluate(path, {}).roles) == {"app"}


@pytest.mark.parametrize(
    "fetch",
    ["fetchurl", "fetchTarball", "fetchGit"],
)
def test_nobody_is_asked(debian: Debian, compose: Compose, server: HTTPServer, fetch: str) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}/token"
    with pytest.raises(EvaluationError, match="'trust: true' in the deployment file"):
        debian.evaluate(compose(composition(f'builtins.readFile (builtins.{fetch} "{url}")')), {})
    assert server.asked == []  # type: ignore[attr-defined]


def test_no_program_is_run(debian: Debian, compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user's nix.conf allows it."""
    monkeypatch.setenv("NIX_CONFIG", "allow-unsafe-native-code-during-evaluation = true")
    mark = tmp_path / "mark"
    with pytest.raises(EvaluationError):
        debian.evaluate(compose(composition(f'builtins.exec [ "touch" "{mark}" ]')), {})
    assert not mark.exists()


def test_what_it_needs_of_itself(debian: Debian, compose: Compose, tmp_path: Path) -> None:
    """Its own files, wherever its directory is reached from."""
    path = Path(compose("{ ... }: { roles = import ./roles/all.nix; }"))
    (path / "roles").mkdir()
    (path / "roles" / "all.nix").write_text('{ app.files."/etc/x".text = builtins.readFile ../text; }')
    (path / "text").write_text("text")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert set(debian.evaluate(str(path), {}).roles) == set(debian.evaluate(str(link), {}).roles) == {"app"}


def test_memory_has_an_end(debian: Debian, compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix, "EVALUATION_MEMORY", 2**30)
    text = "builtins.toString (builtins.length (builtins.genList (n: [ n ]) 200000000))"
    with pytest.raises(EvaluationError, match="needs more than 1.0 GiB of memory"):
        debian.evaluate(compose(composition(text)), {})
