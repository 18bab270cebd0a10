"""Every form of compose-info.json, written after what NixOS Compose 0.3 to 0.7.11 make."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.nxc.info import (
    Built,
    ComposeInfo,
    read_compose_info,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError

A, B = (f"/nix/store/{letter * 32}-nixos-system-unnamed-25.05" for letter in "ab")
FLAVOUR = {"name": "vm", "description": "vm", "image": {"distribution": "all-in-one"}}
ALL = {"kernel": "/nix/store/k-image/kernel", "initrd": "/nix/store/i-initrd/initrd", "init": f"{A}/init"}
BOOT = {"kernel": ALL["kernel"], "initrd": ALL["initrd"]}
OLD = {"client": {"init": f"{A}/init", "closure_info": "/nix/store/c"}, "server": {"init": f"{B}/init"}}


def info(composition: t.Mapping[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    return {
        "flavour": FLAVOUR,
        "system": "x86_64-linux",
        "compositions_info": {"composition": {"test_script": "/nix/store/t-test-script", **composition}},
        "all": ALL,
        **more,
    }


def read(data: t.Any, composition: str = "composition", files: t.Mapping[str, str] | None = None) -> ComposeInfo:
    text = data if isinstance(data, str) else json.dumps(data)
    return read_compose_info(text, composition, "the compose-info", (files or {}).__getitem__)


FORMS = {
    "0.7.11": info({"roles": {"client": A, "server": B}}, compositions_info_path="/nix/store/x-compositions-info.json"),
    "0.7.8": info({"roles": OLD}),
    "with both": info({"roles": {role: {**OLD[role], "toplevel": OLD[role]["init"][:-5]} for role in OLD}}),
    "0.3": info({"nodes": OLD}),
    "2021": {"flavour": FLAVOUR, "nodes": OLD, "all": ALL, "test_script": "/nix/store/t-test-script"},
}


@pytest.mark.parametrize("form", FORMS)
def test_machines(form: str) -> None:
    read_ = read(FORMS[form])
    assert read_.roles == {"client": Built(A, BOOT), "server": Built(B, BOOT)}
    assert read_.roles["client"].identity == f"{'a' * 32}-nixos-system-unnamed-25.05"
    assert (read_.flavour, read_.test_script) == ("vm", "/nix/store/t-test-script")
    assert read_.common == ALL
    assert read_.compositions_info_path == FORMS[form].get("compositions_info_path", "")


def test_an_image_for_kadeploy_is_an_archive() -> None:
    data = info({"roles": {"client": A}}, all={**ALL, "image": "/nix/store/x-tarball/tarball/all-compositions.tar.xz"})
    assert read(data).roles["client"].files == {"tar": "/nix/store/x-tarball/tarball/all-compositions.tar.xz"}


def test_roles_with_an_image_of_their_own() -> None:
    role = {**OLD["client"], "kernel": "/nix/store/own/kernel", "initrd": "/nix/store/own/initrd"}
    data = info({"roles": {"client": role}})
    del data["all"]
    files = {"kernel": "/nix/store/own/kernel", "initrd": "/nix/store/own/initrd"}
    assert read(data).roles["client"] == Built(A, files)


def test_counts_are_those_of_the_composition() -> None:
    assert read(info({"roles": {"client": A}, "roles_distribution": {"client": 2}})).distribution == {"client": 2}
    assert read(info({"roles": {"client": A}})).distribution == {}


def test_one_of_several_compositions() -> None:
    data = info({"roles": {"client": A}})
    data["compositions_info"]["other"] = {"roles": {"server": B}, "test_script": ""}
    assert set(read(data, "other").roles) == {"server"}
    with pytest.raises(InputError, match=r"no composition 'othr'; did you mean 'other'"):
        read(data, "othr")


@pytest.mark.parametrize("names", ["roles", "nodes"])
def test_docker(names: str) -> None:
    service = {"command": [f"{A}/init"], "image": "nxc-docker-base-image:latest", "privileged": True}
    data = {
        "image": "/nix/store/d-docker-image.tar.gz",
        names: ["client"],
        "docker-compose-file": "/nix/store/f-docker-compose",
        "test_script": "/nix/store/t-test-script",
        "flavour": "docker",
        "roles_distribution": {"client": ["foo", "bar"]},
    }
    files = {"/nix/store/f-docker-compose": json.dumps({"services": {"client": service}})}
    read_ = read(data, files=files)
    assert read_.roles == {"client": Built(A, {"oci": "/nix/store/d-docker-image.tar.gz"}, service)}
    assert read_.flavour == "docker"
    assert read_.distribution == {"client": ["foo", "bar"]}


def test_nspawn_calls_every_composition_composition() -> None:
    role = {"toplevel": A, "init": f"{A}/init", "volumes": [], "ports": []}
    data = {"roles": ["client"], "composition": {"client": role}, "test_script": "", "flavour": "nspawn"}
    assert read(data, "another").roles == {"client": Built(A, {"toplevel": A})}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no JSON", "is not a compose-info.json"),
        ([], "is not a compose-info.json"),
        ({}, "KeyError 'flavour'"),
        ({"flavour": "vm"}, "KeyError 'nodes'"),
        (info({"roles": {"client": 7}}), "role 'client' is 7, expected the store path"),
        (info({"nodes": ["foo"]}), "role 'foo' is None, expected the store path"),
        (info({"roles": {"client": A}}, all={}), "KeyError 'kernel'"),
    ],
)
def test_what_is_none_is_refused(data: t.Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(data)
    assert str(error.value).startswith("the compose-info")
