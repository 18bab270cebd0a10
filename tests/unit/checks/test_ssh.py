"""The kept connection against a real SSH server."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes import copy, shell
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import (
    Connection,
    HostKeyMismatch,
    SSHError,
)
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output
from ansible_collections.immutable.compose.plugins.module_utils.nodes.shell import KEPT_OUTPUT

from .conftest import NODE, Server


def test_output_error_and_exit_code_are_kept_apart(kept: Connection) -> None:
    output = kept.run("echo out; echo err >&2; exit 3")
    assert (output.returncode, output.stdout, output.stderr) == (3, b"out\n", b"err\n")
    assert not output.timed_out


@pytest.mark.parametrize("command", ["true", "printf ''", ":"])
def test_no_output(kept: Connection, command: str) -> None:
    assert kept.run(command) == Output(0, b"", b"")


def test_output_is_binary_safe(kept: Connection) -> None:
    every_byte = bytes(range(256)) * 3
    octal = "".join(f"\\{byte:03o}" for byte in every_byte)
    assert kept.run(f"printf '{octal}'").stdout == every_byte


def test_large_output_is_complete_and_dropped_on_the_node(kept: Connection) -> None:
    for _dummy in range(3):
        output = kept.run("seq 1 700000; seq 1 100000 >&2")
        assert output.stdout.count(b"\n") == 700_000 and output.stdout.endswith(b"700000\n")
        assert output.stderr.endswith(b"100000\n")
    kept.run("true")
    assert kept._shell is not None
    held = int(kept.run(f"du -sb {kept._shell._directory} | cut -f1").stdout)
    assert held < 2 * KEPT_OUTPUT


def test_shell_state_does_not_leak_into_the_next_command(kept: Connection) -> None:
    kept.run("cd /tmp; export LEAK=1; set -e; umask 0; exec true")
    assert kept.run('echo "${LEAK-none}"; umask').stdout == b"none\n0022\n"


@pytest.mark.parametrize(
    "command",
    [
        "set -euo pipefail; false | true; echo not so far",
        "set -euo pipefail; x=$(false); echo not so far",
        "echo one\nif",
        "exit 7",
        "trap 'echo bye' EXIT; exit 4",
        "trap",
        "kill -9 0",
        "exec 3<>/dev/tcp/127.0.0.1/1",
        "echo $# $@; set -o; shopt; declare -F; declare -p d n mark how command f code",
        "cat <<EOF\nhi\nEOF",
        "sleep 0.01 & wait",
        "env | grep -v ^SSH_ | sort",
    ],
)
def test_a_command_behaves_as_in_a_bash_of_its_own(
    kept: Connection, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> tuple[int, bytes, bytes]:
        output = kept.run(command)
        return output.returncode, output.stdout, re.sub(rb"(-c: |eval: )?line \d+: ", b"", output.stderr)

    quick = run()
    monkeypatch.setattr(shell, "_ABOUT_ITSELF", re.compile(rb""))
    assert quick == run()


def test_a_command_that_asks_about_its_shell_has_one_of_its_own(kept: Connection) -> None:
    first, second = (int(kept.run("test -e /proc/$$ && echo $$").stdout) for _dummy in range(2))
    assert first != second
    assert kept.run('echo "${!-none}"; sleep 0 & echo "$!"').stdout.startswith(b"none\n")


def test_quotes_newlines_and_standard_input(kept: Connection) -> None:
    assert kept.run("cat; printf '%s' 'a\n\"b\"' \"$((1 + 1))\"").stdout == b'a\n"b"2'
    assert kept.run("locale charmap 2>/dev/null; printf '%s' é | wc -m").stdout == b"UTF-8\n1\n"


def test_long_command(kept: Connection) -> None:
    assert kept.run(f"echo {'x' * 100_000} | wc -c").stdout == b"100001\n"


def test_death_by_signal_is_an_exit_code(kept: Connection) -> None:
    assert kept.run("kill -9 $$").returncode == 137
    assert kept.run("echo fine").stdout == b"fine\n"


def test_command_that_is_over_its_time_is_killed_with_its_children(kept: Connection, tmp_path: Path) -> None:
    start = time.monotonic()
    output = kept.run(f"echo before; sleep 600 & echo $! >{tmp_path}/child; sleep 600; echo after", timeout=3)
    assert output.timed_out
    assert output.stdout == b"before\n"
    child = Path("/proc", (tmp_path / "child").read_text().strip())
    while child.exists():
        assert time.monotonic() - start < 60
        time.sleep(0.02)
    assert kept.run("echo usable").stdout == b"usable\n"


def test_command_that_ignores_the_polite_signal_is_killed(kept: Connection) -> None:
    start = time.monotonic()
    assert kept.run("trap '' TERM; while :; do sleep 1; done", timeout=0.3).timed_out
    assert time.monotonic() - start < 20
    assert kept.run("echo usable").stdout == b"usable\n"


def test_background_process_with_open_output_does_not_hold_up(kept: Connection) -> None:
    start = time.monotonic()
    assert kept.run("(sleep 30; echo late) & echo now").stdout == b"now\n"
    assert time.monotonic() - start < 20
    for _dummy in range(3):
        assert kept.run("echo next").stdout == b"next\n"


def test_many_threads_share_a_connection(kept: Connection) -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda n=n: results.append(kept.run(f"echo {n}").stdout)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(f"{n}\n".encode() for n in range(20))


def test_nul_is_refused(kept: Connection) -> None:
    with pytest.raises(ValueError, match="NUL"):
        kept.run("a\0b")


def test_openssh_client_accepts_certificate_and_plain_key(server: Server, tmp_path: Path) -> None:
    keys = server.keys
    keys.write_access({NODE: server.endpoint})

    def ssh(*options: str) -> subprocess.CompletedProcess[str]:
        command = ["ssh", "-F", keys.ssh_config_file, "-o", "BatchMode=yes", *options, NODE, "echo", "$USER"]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert ssh().stdout == "root\n"
    lines = Path(keys.known_hosts_file).read_text().splitlines(keepends=True)
    for number, text in enumerate(("".join(lines[:1]), "".join(lines[1:]))):
        only = tmp_path / f"known_hosts{number}"
        only.write_text(text)
        result = ssh("-o", f"UserKnownHostsFile={only}")
        assert result.stdout == "root\n", result.stderr
    (tmp_path / "none").write_text("")
    assert ssh("-o", f"UserKnownHostsFile={tmp_path}/none").returncode == 255


def test_wrong_host_key_is_refused_at_once(tmp_path: Path) -> None:
    impostor = Server(tmp_path, host_key_of="somebody-else")
    try:
        connection = impostor.connection()
        start = time.monotonic()
        with pytest.raises(HostKeyMismatch, match=f"{NODE}: the SSH host key is not the one"):
            connection.open(30)
        assert time.monotonic() - start < 20
        impostor.keys.write_access({NODE: impostor.endpoint})
        command = ["ssh", "-F", impostor.keys.ssh_config_file, "-o", "BatchMode=yes", NODE, "true"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert refused.returncode == 255 and "Host key verification failed" in refused.stderr
    finally:
        impostor.stop()


def test_unknown_login_key_is_an_error(server: Server, tmp_path: Path) -> None:
    from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys

    other = Keys(str(tmp_path))
    other.login_public_key()
    connection = Connection(NODE, server.endpoint, server.keys.host_key(NODE).public, other.identity_file)
    with pytest.raises(SSHError, match="Authentication failed"):
        connection.open(1)


def test_reconnects_after_the_node_went_away(tmp_path: Path) -> None:
    server = Server(tmp_path)
    connection = server.connection()
    try:
        assert connection.run("echo 1").stdout == b"1\n"
        threading.Timer(0.5, server.stop).start()
        start = time.monotonic()
        with pytest.raises(SSHError, match="connection was lost .* during: sleep 30"):
            connection.run("sleep 30")
        assert time.monotonic() - start < 20
        with pytest.raises(SSHError, match="within 1 s; last error: .*refused"):
            connection.open(1)
        server = Server(tmp_path, port=server.port)
        assert connection.run("echo 2").stdout == b"2\n"
    finally:
        connection.close()
        server.stop()


def test_proxy_command(server: Server) -> None:
    connection = server.connection(Endpoint("127.0.0.1", server.port, proxy_command="nc %h %p"))
    try:
        assert connection.run("echo through").stdout == b"through\n"
    finally:
        connection.close()


def test_proxy_command_that_fails(server: Server) -> None:
    connection = server.connection(Endpoint("127.0.0.1", server.port, proxy_command="false %h"))
    with pytest.raises(SSHError, match="closed before the server said anything"):
        connection.open(0.5)


def test_copy_of_a_file_and_a_directory(kept: Connection, tmp_path: Path) -> None:
    source = tmp_path / "data"
    (source / "sub").mkdir(parents=True)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o750)
    (source / "sub" / "blob").write_bytes(bytes(range(256)) * 4096)

    copy.put(kept, str(source / "run.sh"), str(tmp_path / "new dir" / "renamed"))
    assert (tmp_path / "new dir" / "renamed").stat().st_mode & 0o777 == 0o750
    copy.put(kept, str(source), str(tmp_path / "node"))
    assert (tmp_path / "node" / "sub" / "blob").read_bytes() == (source / "sub" / "blob").read_bytes()
    copy.put(kept, str(source), str(tmp_path / "node"))
    assert (tmp_path / "node" / "data" / "run.sh").exists(), "into a directory that exists"

    copy.get(kept, str(tmp_path / "node"), str(tmp_path / "back"))
    assert (tmp_path / "back" / "node" / "sub" / "blob").read_bytes() == (source / "sub" / "blob").read_bytes()


def test_copy_failures_are_told(kept: Connection, tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="no such file"):
        copy.put(kept, str(tmp_path / "absent"), "/tmp/x")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 5_000_000)
    with pytest.raises(CommandError, match="(?s)mkdir.*/proc/nowhere"):
        copy.put(kept, str(big), "/proc/nowhere/file")
    with pytest.raises(CommandError, match="absent"):
        copy.get(kept, str(tmp_path / "absent"), str(tmp_path))
    assert kept.run("echo usable").stdout == b"usable\n"


def test_copy_writes_nowhere_else(server: Server, tmp_path: Path) -> None:
    """A node may send whatever it likes."""
    evil = tmp_path / "evil.tar"
    subprocess.run(["tar", "-cPf", evil, "--transform", "s,.*,../outside,", __file__], check=True)
    server.program("tar", f"cat {evil}")
    connection = server.connection()
    try:
        with pytest.raises(ComposeError, match="leaves the directory"):
            copy.get(connection, "/etc/hostname", str(tmp_path / "in"))
    finally:
        (server.bin / "tar").unlink()
        connection.close()
    assert not (tmp_path / "outside").exists()
