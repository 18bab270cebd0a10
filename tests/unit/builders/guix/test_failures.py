"""What Guix says, as 1.5.0 said it, and what users are told then."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import (
    CommandError,
    ComposeError,
    EvaluationError,
    Failure,
)

from .conftest import StandIn, builder

DRV = "/gnu/store/0ksdfm6qw6zriskvwf88i45nlqv5wdpf"
SAID: dict[str, tuple[str, str, str]] = {
    "no daemon": (
        "guix system: error: failed to connect to `/var/guix/daemon-socket/socket': No such file or directory",
        "daemon",
        "make sure that guix-daemon is running",
    ),
    "builder": (
        f"building {DRV}-image.qcow2.drv...\nbuilder for `{DRV}-image.qcow2.drv' failed with exit code 3\n"
        f"build of {DRV}-image.qcow2.drv failed\nView build log at '/var/log/guix/drvs/0k/sdfm.gz'.\n"
        f"guix system: error: build of `{DRV}-image.qcow2.drv' failed",
        "build",
        "View build log at",
    ),
    "no output": (f"builder for `{DRV}-a.drv' failed to produce output path `{DRV}-a'", "build", "failed to produce"),
    "source": (
        f"building {DRV}-genimage-18-checkout.drv...\n"
        f"builder for `{DRV}-genimage-18-checkout.drv' failed with exit code 1",
        "fetch",
        "genimage-18-checkout",
    ),
    "hash": (
        f"sha256 hash mismatch for {DRV}-a:\n  expected hash: 0aa\n  actual hash:   1bb",
        "hash-mismatch",
        "actual hash:   1bb",
    ),
    "substitute": (
        f"sha256 hash mismatch for {DRV}-a:\n  expected hash: 0aa\n  actual hash:   1bb\n"
        f"substitution of {DRV}-a failed\nguix build: error: some substitutes for the outputs of derivation failed",
        "cache-damaged",
        "substitution of",
    ),
    "commit": (
        "guix time-machine: error: object not found - no match for id (1111111111111111111111111111111111111111)",
        "fetch",
        "no match for id",
    ),
    "time": (f"building of `{DRV}-a.drv' timed out after %2% seconds", "timeout", "timed out"),
    "silence": (f"building of `{DRV}-a.drv' timed out after 3 seconds of silence", "timeout", "of silence"),
    "space": ("guix system: error: No space left on device", "no-space", "guix gc"),
    "key": (
        "guix archive: error: unauthorized public key: (public-key (ecc (curve Ed25519) (q #AB#)))",
        "cache-unsigned",
        "guix archive --authorize",
    ),
    "cache": (
        "guix substitute: warning: bordeaux.guix.gnu.org: host not found: Name or service not known\n"
        f"cannot build derivation `{DRV}-a.drv': 1 dependencies couldn't be built\n"
        f"guix system: error: build of `{DRV}-a.drv' failed",
        "cache-unreachable",
        "bordeaux.guix.gnu.org: host not found",
    ),
    "channels": (
        "guix time-machine: error: Git error: failed to resolve address for git.guix.gnu.org: Name or service unknown",
        "fetch",
        "failed to resolve address",
    ),
    "old": ("guix system: error: nosuch: no such image type", "tool-too-old", "guix pull"),
}


@pytest.mark.parametrize(("said", "kind", "message"), SAID.values(), ids=SAID)
def test_failures_are_told_apart(
    said: str, kind: str, message: str, lab: str, progress: Path, guix: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYS", f"guix system: warning: Consider running 'guix pull' followed by\n{said}")
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(ComposeError) as error:
        builder(progress).identify(lab, {}, ["client"], ["qcow2"])
    assert message in str(error.value)
    assert not isinstance(error.value, EvaluationError)
    failure = error.value.failure
    assert failure is not None
    assert (failure.kind, failure.tool, failure.file, failure.line) == (kind, "guix", None, None)
    assert failure.message in said


FAULTS: dict[str, tuple[str, str | None, int | None]] = {
    "syntax": ("/lab/g/syntax.scm:4:1: missing closing parenthesis", "/lab/g/syntax.scm", 4),
    "variable": (
        "/lab/b.scm:2:29: error: foo-undefined: unbound variable\nhint: Did you forget a `use-modules' form?",
        "/lab/b.scm",
        2,
    ),
    "field": (
        "/lab/b.scm:2:0: error: (operating-system ...): missing field initializers (file-systems)",
        "/lab/b.scm",
        2,
    ),
    "module": (
        "guix system: error: failed to load 'b.scm':\nno code for module (gnu packages nosuchmodule)",
        None,
        None,
    ),
    "trace": (
        "Backtrace:\nIn guix/store.scm:\n   697:30  2 (_ _)\n\nguix/ui.scm:920:18: Throw to key `json-invalid'",
        None,
        None,
    ),
    "no system": ("guix system: error: '/lab/b.scm' does not return an operating system", None, None),
}


@pytest.mark.parametrize(("said", "file", "line"), FAULTS.values(), ids=FAULTS)
def test_faults_of_files_are_told_with_their_place(
    said: str,
    file: str | None,
    line: int | None,
    lab: str,
    progress: Path,
    guix: StandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAYS", said)
    monkeypatch.setenv("CODE", "1")
    with pytest.raises(EvaluationError, match=f"{lab}/b.scm does not evaluate") as error:
        builder(progress).identify(lab, {}, ["client"], ["qcow2"])
    message = said.splitlines()[-1] if "Backtrace" in said else said
    assert error.value.failure == Failure("evaluation", "guix", message, file, line)


def test_not_reproducible_is_told(lab: str, progress: Path, guix: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    make = builder(progress)
    planned = make._plan(lab, {}, ["client"], ["qcow2"])[-1]["client"]["qcow2"]
    monkeypatch.setenv(
        "SAYS", f"guix build: error: derivation `{planned.derivation}' may not be deterministic: output differs"
    )
    monkeypatch.setenv("CODE", "1")
    monkeypatch.setattr(
        make, "_plan", lambda *given: (None, make._guix(make._read(lab, {}), {}), {"client": {"qcow2": planned}})
    )
    assert "may not be deterministic" in make.check_reproducible(lab, {}, ["client"], ["qcow2"])["client"]
    monkeypatch.setenv("SAYS", f"builder for `{DRV}-a.drv' failed with exit code 1")
    with pytest.raises(CommandError):
        make.check_reproducible(lab, {}, ["client"], ["qcow2"])


def test_progress_comes_from_what_guix_prints(
    lab: str, progress: Path, guix: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = [
        "The following derivations will be built:",
        f"  {DRV}-image.qcow2.drv",
        f"  {DRV}-linux-modules.drv",
        "",
        "38.2 MB will be downloaded:",
        f"  {DRV}-hello-2.12",
        "downloading from https://ci.example/nar/zstd/0ks-hello-2.12...",
        " hello-2.12  51KiB 1.0MiB/s 00:00 [####      ]  40.0%\r hello-2.12  51KiB 1.0MiB/s 00:00 [##########] 100.0%",
        f"building {DRV}-linux-modules.drv...",
        f"\x1b[Kbuilding {DRV}-image.qcow2.drv...",
    ]
    monkeypatch.setenv("SAYS", "\n".join(says))
    builder(progress).identify(lab, {}, ["client"], ["qcow2"])
    assert progress.read_text().splitlines() == [
        "evaluate client: 1/2 building linux-modules",
        "evaluate client: 2/2 building image.qcow2",
    ]
