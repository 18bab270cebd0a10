"""Numbers of a NixOS configuration, before it boots."""

from __future__ import annotations

import json
import subprocess

from .conftest import REPOSITORY

CONFIG = """
{
  users.users = {
    alice = { name = "alice"; uid = null; isSystemUser = false; };
    bob = { name = "bob"; uid = 1000; isSystemUser = false; };
    gone = { name = "gone"; uid = null; isSystemUser = true; enable = false; };
    root = { name = "root"; uid = 0; isSystemUser = true; };
    redis = { name = "redis"; uid = null; isSystemUser = true; };
    sshd = { name = "sshd"; uid = 999; isSystemUser = true; };
    web = { name = "http"; uid = null; isSystemUser = true; };
  };
  users.groups = {
    redis = { name = "redis"; gid = null; };
    root = { name = "root"; gid = 0; };
    wheel = { name = "wheel"; gid = 998; };
    web = { name = "http"; gid = null; };
  };
  %s
}
"""


def numbers(more: str = "") -> dict[str, dict[str, int]]:
    lib = f'(import {REPOSITORY}/tests/unit/builders/stub_nixpkgs {{ system = "x86_64-linux"; }}).lib'
    expression = f"import {REPOSITORY}/nix/nixos/numbers.nix {{ config = {CONFIG % more}; lib = {lib}; }}"
    command = ["nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode", "--store", "dummy://", "-E"]
    done = subprocess.run([*command, expression], check=True, capture_output=True, text=True)
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


def test_who_has_none_gets_what_the_script_gives() -> None:
    assert numbers() == {
        "users": {"alice": 1001, "bob": 1000, "root": 0, "redis": 998, "sshd": 999, "http": 997},
        "groups": {"redis": 999, "root": 0, "wheel": 998, "http": 997},
    }


def test_where_other_programs_do_it_nothing_is_known() -> None:
    assert numbers("services.userborn.enable = true;") == {}
