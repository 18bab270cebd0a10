"""Parameters, permissions and errors come from the official schema."""

from __future__ import annotations

import pytest

from .conftest import Client

BAD = "invalid format - format error\n"
UNDEFINED = "property is not defined in schema and the schema does not allow additional properties"


@pytest.mark.parametrize(
    ("parameters", "errors"),
    [
        ({"vmid": 99}, {"vmid": "invalid format - value does not look like a valid VM ID\n"}),
        ({}, {"vmid": "property is missing and it is not optional"}),
        ({"vmid": 100, "kvm": "on"}, {"kvm": "type check ('boolean') failed - got 'on'"}),
        ({"vmid": 100, "cores": 0}, {"cores": "value must have a minimum value of 1"}),
        (
            {"vmid": 100, "scsi31": "local:1"},
            {"scsi31": UNDEFINED},
        ),
        (
            {"vmid": 100, "ostype": "os2"},
            {
                "ostype": "value 'os2' does not have a value in the enumeration 'other, wxp,"
                " w2k, w2k3, w2k8, wvista, win7, win8, win10, win11, l24, l26, solaris'"
            },
        ),
        ({"vmid": 100, "name": "a_b"}, {"name": "invalid format - value does not look like a valid DNS name\n"}),
        ({"vmid": 100, "tags": "a b;c!"}, {"tags": "invalid format - invalid characters in tag\n"}),
        (
            {"vmid": 100, "scsi0": "local:1,nonsense=1"},
            {"scsi0": f"{BAD}scsi0.nonsense: {UNDEFINED}\n"},
        ),
        (
            {"vmid": 100, "scsi0": "local:1,cache=hot"},
            {
                "scsi0": BAD + "scsi0.cache: value 'hot' does not have a value in the enumeration"
                " 'none, writethrough, writeback, unsafe, directsync'\n"
            },
        ),
        (
            {"vmid": 100, "boot": "order=scsi0;disk1"},
            {"boot": BAD + "boot.order: invalid format - invalid boot device 'disk1'\n\n"},
        ),
        ({"vmid": 100, "force": 1}, {"archive": "missing property required by 'force'"}),
        ({"vmid": 100, "startup": "0"}, {"startup": "invalid format - unable to parse startup options\n"}),
        ({"vmid": 100, "affinity": "3-1"}, {"affinity": "invalid format - unable to parse cpuset option\n"}),
        (
            {"vmid": 100, "cdrom": "0"},
            {"cdrom": BAD + "cdrom.file: invalid format - unable to parse volume ID '0'\n\n"},
        ),
        ({"vmid": 100, "description": "x" * 8193}, {"description": "value may only be 8192 characters long"}),
    ],
)
def test_parameters(pve: Client, parameters: dict[str, object], errors: dict[str, str]) -> None:
    answer = pve.call("POST", "/nodes/pve1/qemu", **parameters)
    assert (answer.status, answer.reason) == (400, "Parameter verification failed.")
    assert answer.body == {"data": None, "errors": errors, "message": "Parameter verification failed.\n"}


def test_a_second_equal_sign_ends_a_value(vm: Client) -> None:
    url = f"{vm.server.url}/api2/json/nodes/pve1/qemu/100/config"
    header = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = vm.session.put(url, data="boot=order=scsi0", headers=header)
    assert answer.json()["errors"]["boot"].startswith("invalid format - format error")


def test_json_bodies(vm: Client) -> None:
    url = f"{vm.server.url}/api2/json/nodes/pve1/qemu/100/config"
    assert vm.session.put(url, json={"cores": 2, "onboot": True, "description": "ä: 100%"}).status_code == 200
    assert {"cores": 2, "onboot": 1, "description": "ä: 100%"}.items() <= vm.config().items()


def test_unknown_paths(pve: Client) -> None:
    assert pve.call("GET", "/nope").error == (501, "Method 'GET /nope' not implemented")
    assert pve.call("DELETE", "/version").error == (501, "Method 'DELETE /version' not implemented")
    assert pve.call("GET", "/nodes/pve1/hosts").error[0] == 501
    assert pve.call("PUT", "/nodes/pve1/qemu/100/config", description="x" * 600000).error == (501, "for data too large")
    assert {"subdir": "status"} in pve.get("/nodes/pve1/qemu/100")


def test_tags_are_lower_case_sorted_and_unique(vm: Client) -> None:
    path = "/nodes/pve1/qemu/100/config"
    vm.call("PUT", path, tags="web;Gen-2;immutable;web")
    assert vm.config()["tags"] == "gen-2;immutable;web"
    vm.call("PUT", path, tags="")
    assert vm.config()["tags"] == " "


def test_a_connection_serves_a_hundred_requests(pve: Client) -> None:
    url = f"{pve.server.url}/api2/json/version"
    kept = [pve.session.get(url).headers.get("Connection", "keep-alive") for dummy in range(101)]
    assert kept == ["keep-alive"] * 99 + ["close", "keep-alive"]
