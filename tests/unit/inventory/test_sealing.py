# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tasks and which command lines are taken for ones that change nothing."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.plugin_utils.command_lines import only_looks

from .conftest import ROOT, Site

COLLECTIONS = ROOT / ".cache" / "collections"


@pytest.mark.parametrize(
    "line",
    [
        "true",
        " cat  /etc/hostname ",
        "/bin/cat /etc/a.conf /etc/b.conf",
        "/usr/bin/uptime",
        "hostname",
        "hostname -f",
        "date -u +%Y-%m-%d",
        "systemctl",
        "systemctl --failed --no-pager",
        "systemctl status nginx.service",
        "systemctl is-system-running",
        "journalctl -u nginx --no-pager --lines=20",
        "journalctl -xe",
        "ip -br addr",
        "ip route show table 7",
        "ss -ltn",
        "sysctl -n net.ipv4.ip_forward",
        "mount",
        "df -h /srv",
        "grep -r root /etc/passwd",
        "cat 'a b' \"c d\"",
        'test "$(cat /etc/hostname)" = web1',
        "[ -e /x ] && echo there || echo not there",
        "cat /x 2>/dev/null | sort -u | wc -l",
        "systemctl is-active nginx >/dev/null 2>&1; echo $?",
        "! grep -q x /y",
        'echo "${HOME} $(id -u $(whoami))"',
        "cat /a\ncat /b\n",
        "ls /etc/*.conf",
    ],
)
def test_a_look(line: str) -> None:
    assert only_looks({"_raw_params": line})
    assert only_looks({"cmd": line, "chdir": "/etc", "creates": None, "_ansible_check_mode": False})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "touch /x",
        "hostname other",
        "hostname -F /etc/hostname",
        "date 010100002030",
        "date -s now",
        "systemctl restart nginx",
        "systemctl --now enable nginx",
        "systemctl --failed stop nginx",
        "journalctl --rotate",
        "journalctl --vacuum-time=1s",
        "journalctl --flush",
        "ip link set eth0 down",
        "ip addr add 10.0.0.1/8 dev eth0",
        "ip -batch file",
        "ss -K dst 10.0.0.1",
        "sysctl -w net.ipv4.ip_forward=1",
        "sysctl net.ipv4.ip_forward=1",
        "sysctl -p",
        "mount /dev/sda1 /mnt",
        "mount -a",
        "dmesg -C",
        "cat /etc/hostname > /x",
        "cat /etc/hostname|tee /x",
        "true; touch /x",
        "true && touch /x",
        "true || touch /x",
        "true\ntouch /x",
        "cat $(touch /x)",
        "cat `touch /x`",
        "echo ${x:=1}",
        "cat <(touch /x)",
        "cat /dev/watchdog",
        "x=1 cat /x",
        "./cat /x",
        "/tmp/cat /x",
        "env touch /x",
        "find / -delete",
        "sort -o /x /y",
        "cat x\\ y",
        "cat 'x",
        'cat "x',
        "cat $(cat x",
        "cat x)",
        "(cat x)",
        "{ cat x; }",
        "cat x &",
        "cat < x",
        "cat x >> /dev/null/x",
        "cat x > /dev/nullx",
        "cat x > /dev/null.d/x",
        "cat x > /dev/null/../sda",
        "cat x > y 2>/dev/null",
        "if true; then touch x; fi",
        "$(echo touch) x",
        "$x y",
        'cat "$(touch x)"',
        "test -v 'x[$(touch y)]'",
        "! touch x",
        "!",
        "cat x | xargs rm",
        "cat x | tee y",
        "uniq a b",
        "sort -no x y",
        "true # touch",
        "systemctl $x nginx",
        "\n",
        ";",
    ],
)
def test_no_look(line: str) -> None:
    assert not only_looks({"_raw_params": line})


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"argv": ["cat", "/x"]},
        {"_raw_params": "cat /x", "executable": "/bin/other"},
        {"_raw_params": "cat", "stdin": "x"},
        {"_raw_params": ["cat"]},
    ],
)
def test_arguments_beside_the_line(arguments: dict[str, t.Any]) -> None:
    assert not only_looks(arguments)


#: In a process of its own, with Ansible's loader as commands have it. No node is there to be asked.
NAMES = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from ansible_collections.immutable.compose.plugins.plugin_utils.sealing import Act
ACTS = json.loads(sys.argv[1])
found = [Act(action, arguments, (), check, background) for action, arguments, check, background in ACTS]
print(json.dumps([[act.name, act.may_change(["ansible.builtin.cop*"])] for act in found]))
"""
#: Action, arguments, in check mode, in the background → its full name, and whether it may change a node.
ACTS: list[tuple[tuple[str, dict[str, str], bool, bool], list[t.Any]]] = [
    (("ping", {}, False, False), ["ansible.builtin.ping", False]),
    (("ansible.legacy.ping", {}, False, False), ["ansible.builtin.ping", False]),
    (("ansible.builtin.setup", {}, False, False), ["ansible.builtin.setup", False]),
    (("service_facts", {}, False, False), ["ansible.builtin.service_facts", False]),
    (("immutable.compose.image_info", {}, False, False), ["immutable.compose.image_info", False]),
    (("no_such_action", {}, False, False), ["no_such_action", True]),
    (("copy", {}, False, False), ["ansible.builtin.copy", False]),  # as the user says
    (("template", {}, False, False), ["ansible.builtin.template", True]),
    (("template", {}, True, False), ["ansible.builtin.template", False]),
    (("ping", {}, False, True), ["ansible.builtin.ping", True]),  # leaves files about its job
    (("raw", {"_raw_params": "touch /x"}, False, False), ["ansible.builtin.raw", True]),
    (("raw", {"_raw_params": "cat /x"}, False, False), ["ansible.builtin.raw", False]),
    (("script", {"_raw_params": "cat /x"}, False, False), ["ansible.builtin.script", True]),
]


def test_who_may_change_a_node(site: Site) -> None:
    (site.directory / "names.py").write_text(NAMES)
    done = site.run("python", "names.py", json.dumps([act for act, _expected in ACTS]), PYTHONPATH=str(COLLECTIONS))
    assert done.data == [expected for _act, expected in ACTS]
