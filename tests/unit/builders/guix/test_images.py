"""What the builder ``guix`` asks of Guix, and what it makes of the answers.

A stand-in answers for Guix; the real one is asked by tests/tools_versions.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.guix.builder import GuixBuilder
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.image import read_image
from ansible_collections.immutable.compose.plugins.module_utils.model.image import SYSTEM_LINK, Package

from ..conftest import REPOSITORY
from .conftest import PINNED, StandIn, Write, builder

# -- what is asked of Guix -----------------------------------------------------------------------------------------


def test_formats_that_guix_does_not_make_are_refused(lab: str, progress: Path, guix: StandIn) -> None:
    with pytest.raises(InputError, match=r"no image in format root, kernel: it has iso, oci, qcow2, raw, tar"):
        builder(progress).identify(lab, {}, ["server"], ["root", "qcow2", "kernel"])
    with pytest.raises(InputError, match=r"no image in format installed: it has iso, oci, qcow2, raw, tar"):
        builder(progress).identify(lab, {}, ["server"], ["installed"])
    assert guix.calls() == []


def test_an_unknown_role_is_refused(lab: str, progress: Path, guix: StandIn) -> None:
    with pytest.raises(InputError, match="has no role 'sever'.*server"):
        builder(progress).identify(lab, {}, ["sever"], ["qcow2"])
    assert guix.calls() == []


def test_command_line_of_an_evaluation(lab: str, progress: Path, guix: StandIn, tmp_path: Path) -> None:
    identity = builder(progress).identify(lab, {"b": 1, "a": "x"}, ["server"], ["qcow2"])["server"]
    assert identity.endswith("-system")
    assert guix.last("image") == [
        *("system", "image", "-d", "-t", "qcow2", "-L", str(REPOSITORY / "nix/guix"), "-L", lab, "--volatile", "-e"),
        f'((@ (compose role) role) "{lab}/a.scm" \'(("db" "/srv/db" "root" "root" "0700" #t)) "qcow2-gpt")',
    ]
    call = guix.calls()[0]
    assert json.loads(call["setup"]) == {"a": "x", "b": 1}
    assert call["lc_all"] == "C.UTF-8"


def test_systems_are_evaluated_where_their_files_are(write: Write, progress: Path, guix: StandIn) -> None:
    module = {"module": "(lab web)", "variable": "web-system"}
    one_of_several = {"file": "below/a.scm", "variable": "db-system"}
    path = write({"roles": {"a": {"file": "below/a.scm"}, "b": module, "c": one_of_several}})
    Path(path, "below").mkdir()
    Path(path, "below/a.scm").touch()
    builder(progress).identify(path, {}, ["a", "b", "c"], ["tar"])
    of_several = f'((@ (compose role) system-in) "{path}/below/a.scm" \'db-system)'
    asked = {call["arguments"][-1]: call["cwd"] for call in guix.calls() if "image" in call["arguments"]}
    assert asked == {
        f'((@ (compose role) role) "{path}/below/a.scm" \'())': f"{path}/below",
        f"((@ (compose role) role) {of_several} '())": f"{path}/below",
        "((@ (compose role) role) ((@ (compose load) variable-of) '(lab web) 'web-system) '())": path,
    }


def test_what_the_plan_has_evaluated_is_built(lab: str, progress: Path, guix: StandIn, tmp_path: Path) -> None:
    def evaluations() -> int:
        return sum("image" in command for command in guix.commands())

    plan, build = builder(progress), builder(progress)
    planned = plan.identify(lab, {}, ["server"], ["qcow2"])
    build.evaluated.update(plan.evaluated)
    assert build.build(lab, {}, ["server"], ["qcow2"], str(tmp_path / "roots"))["server"].identity == planned["server"]
    assert evaluations() == 1
    Path(lab, "a.scm").write_text("(use-modules (gnu) (guix))")
    build.identify(lab, {}, ["server"], ["qcow2"])
    assert evaluations() == 2


def test_options_reach_guix(lab: str, progress: Path, guix: StandIn) -> None:
    Path(lab, "modules").mkdir()
    Path(lab, "channels.scm").write_text(PINNED)
    make = builder(
        progress,
        load_path=["modules"],
        substitute_urls=["https://a.example", "https://b.example"],
        target="aarch64-linux-gnu",
        grafts=False,
        daemon_socket="ssh://build.example",
        timeout=7200,
        max_silent_time=600,
    )
    make.identify(lab, {}, ["client"], ["raw"])
    asked = guix.last("image")
    assert asked[:4] == ["time-machine", "-C", f"{lab}/channels.scm", "--"]
    assert asked[asked.index("-t") + 1] == "efi-raw"
    assert [asked[index + 1] for index, word in enumerate(asked) if word == "-L"][1:] == [f"{lab}/modules"]
    assert {
        "--substitute-urls=https://a.example https://b.example",
        "--target=aarch64-linux-gnu",
        "--no-grafts",
        "--timeout=7200",
        "--max-silent-time=600",
    } <= set(asked)
    assert {call["socket"] for call in guix.calls()} == {"ssh://build.example"}


@pytest.mark.parametrize(
    ("format_", "kind"),
    [("qcow2", "qcow2"), ("raw", "mbr-raw"), ("tar", "tarball"), ("oci", "docker"), ("iso", "iso9660")],
)
def test_types_of_images(format_: str, kind: str, lab: str, progress: Path, guix: StandIn) -> None:
    builder(progress, target="x86_64-linux-gnu").identify(lab, {}, ["client"], [format_])
    asked = guix.last("image")
    assert asked[asked.index("-t") + 1] == kind
    assert ("--volatile" in asked) == (format_ in ("qcow2", "raw"))


def test_a_load_path_that_is_not_there_is_refused(lab: str, progress: Path, guix: StandIn) -> None:
    with pytest.raises(InputError, match="option load_path .*/nosuch"):
        builder(progress, load_path=["nosuch"]).identify(lab, {}, ["client"], ["qcow2"])


def test_formats_with_different_systems_are_refused(lab: str, progress: Path, guix: StandIn) -> None:
    make = builder(progress)
    assert make.identify(lab, {}, ["client"], ["qcow2", "raw"]) == make.identify(lab, {}, ["client"], ["raw"])
    with pytest.raises(InputError, match="role 'client': in the formats qcow2, oci, Guix makes images of different"):
        make.identify(lab, {}, ["client"], ["qcow2", "oci"])


# -- building ------------------------------------------------------------------------------------------------------


def test_a_bundle_is_written_with_roots_beside(lab: str, progress: Path, guix: StandIn, tmp_path: Path) -> None:
    make = builder(progress)
    roots = tmp_path / "roots"
    assert make.is_built(lab, {}, ["server"], ["qcow2", "raw"]) == {"server": False}
    image = make.build(lab, {}, ["server"], ["qcow2", "raw"], str(roots))["server"]
    assert image.identity == make.identify(lab, {}, ["server"], ["qcow2"])["server"]
    assert image == read_image(str(roots / image.identity))
    assert image.identity_file == SYSTEM_LINK
    assert image.packages == (Package("hello", "2.12.1", f"{guix.store}/{'b' * 32}-hello-2.12.1"),)
    assert image.volumes["db"].mode == "0700"
    assert image.numbers.users == {"root": 0, "sshd": 989}
    for format_ in ("qcow2", "raw"):
        link = roots / f"{image.identity}+{format_}"
        assert os.path.realpath(image.path(format_)) == os.path.realpath(link)
    assert make.is_built(lab, {}, ["server"], ["qcow2", "raw"]) == {"server": True}


def test_what_is_built_is_not_built_again(lab: str, progress: Path, guix: StandIn, tmp_path: Path) -> None:
    def builds() -> int:
        return sum(any(word.startswith("--root=") for word in command) for command in guix.commands())

    make = builder(progress)
    roots = tmp_path / "roots"
    image = make.build(lab, {}, ["server"], ["qcow2"], str(roots))["server"]
    assert builds() == 1
    make.build(lab, {}, ["server"], ["qcow2"], str(roots))
    assert builds() == 1
    os.unlink(os.path.realpath(image.path("qcow2")))  # as when the root was removed, and then the garbage
    make.build(lab, {}, ["server"], ["qcow2"], str(roots))
    assert builds() == 2


def test_images_of_several_roles_are_built_together(lab: str, progress: Path, guix: StandIn, tmp_path: Path) -> None:
    make = builder(progress, timeout=7200)
    images = make.build(lab, {}, ["server", "client"], ["qcow2"], str(tmp_path / "roots"))
    assert sorted(images) == ["client", "server"]
    together = [command for command in guix.commands() if any(word.startswith("--max-jobs=") for word in command)]
    assert len(together) == 1
    assert together[0][0] == "build" and "--timeout=7200" in together[0]
    assert sum(word.endswith("-image.qcow2.drv") for word in together[0]) == 2
    assert guix.commands().index(together[0]) < min(
        index for index, command in enumerate(guix.commands()) if command[0] == "build" and command != together[0]
    )
    make.build(lab, {}, ["server", "client"], ["qcow2"], str(tmp_path / "roots"))
    assert sum("--max-jobs=" in " ".join(command) for command in guix.commands()) == 1


def test_keys_of_servers_must_be_authorized(lab: str, progress: Path, guix: StandIn, tmp_path: Path) -> None:
    Path(lab, "key.pub").write_text("(public-key (ecc (curve Ed25519) (q #AB12\n CD#)))")
    Path(lab, "none.pub").write_text("ssh-ed25519 AAAA")
    for key, message in {
        "key.pub": "is not authorized on this host; run: guix archive --authorize < .*key.pub",
        "none.pub": "is not a public key of Guix",
        "nosuch.pub": "there is no file",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            builder(progress, substitute_keys=[key]).build(lab, {}, ["client"], ["qcow2"], str(tmp_path / "roots"))
        assert (error.value.failure and error.value.failure.kind) == ("cache-unsigned" if key == "key.pub" else None)
    assert not any(command[0] == "build" for command in guix.commands())


def test_keys_that_are_authorized(
    lab: str, progress: Path, guix: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("(acl (entry (public-key (ecc (curve Ed25519) (q #ab12cd#))) (tag (guix import))))")
    monkeypatch.setattr(f"{GuixBuilder.__module__}.ACL", str(acl))
    Path(lab, "key.pub").write_text("(public-key (ecc (curve Ed25519) (q #AB12\n CD#)))")
    make = builder(progress, substitute_keys=["key.pub"])
    assert make.build(lab, {}, ["client"], ["qcow2"], str(tmp_path / "roots"))["client"].role == "client"


def test_reproducible(lab: str, progress: Path, guix: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    make = builder(progress)
    assert make.check_reproducible(lab, {}, ["client"], ["qcow2"]) == {"client": ""}
    assert guix.commands()[-1][:3] == ["build", "--check", "--keep-failed"] and "--cores=1" in guix.commands()[-1]


def test_lock_writes_the_channels_of_this_guix(
    lab: str, progress: Path, guix: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANNELS", "(list (channel (name 'guix) (url #f)))")
    with pytest.raises(InputError, match="run `guix pull`"):
        builder(progress).lock(lab, {})
    monkeypatch.setenv("CHANNELS", PINNED.strip())
    file = Path(lab, "channels.scm")
    assert builder(progress).lock(lab, {}, write=False) == (str(file), "", PINNED)
    assert not file.exists()
    builder(progress).lock(lab, {})
    assert file.read_text() == PINNED
    assert builder(progress).lock(lab, {})[1:] == (PINNED, PINNED)
