"""The machine API and the running of test scripts, on real shells behind a real SSH server."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.commands import CheckFailed
from ansible_collections.immutable.compose.plugins.module_utils.checks.driver import parallel
from ansible_collections.immutable.compose.plugins.module_utils.checks.machine import Machine
from ansible_collections.immutable.compose.plugins.module_utils.model.report import CheckDetails
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import Connection, SSHError

from .conftest import NODE, Server, _free_port
from .scripts import make, run


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def machine(kept: Connection, tmp_path: Path, said: list[str]) -> Machine:
    return make(kept, tmp_path, said)


# -- commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["false | true", "false; true", "echo $undefined_variable", "exit 4"])
def test_what_succeed_does_not_let_pass(machine: Machine, command: str) -> None:
    with pytest.raises(CheckFailed, match=r"oar-server: command `.*` failed \(exit code \d+\)") as caught:
        machine.succeed("true", command)
    assert caught.value.command == command
    machine.fail(command)


def test_succeed_returns_all_outputs(machine: Machine) -> None:
    assert machine.succeed("echo a", "echo b >&2; echo c") == "a\nc\n"
    assert machine.fail("echo a; false") == "a\n"


def test_failed_command_keeps_output_and_error(machine: Machine) -> None:
    with pytest.raises(CheckFailed) as caught:
        machine.succeed("echo out; echo err >&2; exit 7")
    assert (caught.value.returncode, caught.value.output) == (7, "out\nerr\n")
    with pytest.raises(CheckFailed, match="`true` unexpectedly succeeded"):
        machine.fail("true")


def test_execute(machine: Machine) -> None:
    assert machine.execute("echo x; exit 5") == (5, "x\n")
    assert machine.execute("echo x; sleep 600", timeout=3) == (124, "x\n")
    assert machine.execute("echo x; exit 5", check_return=False) == (-1, "x\n")
    start = time.monotonic()
    assert machine.execute("sleep 30", check_output=False) == (-2, "")
    assert time.monotonic() - start < 20


def test_time_out_is_said(machine: Machine) -> None:
    with pytest.raises(CheckFailed, match=r"`sleep 30` failed \(timed out after 0.2 s\)"):
        machine.succeed("sleep 30", timeout=0.2)


def test_wait_until(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "flag"
    machine.execute(f"sleep 0.5; echo yes > {path}", check_output=False)
    assert machine.wait_until_succeeds(f"cat {path}", timeout=120) == "yes\n"
    machine.wait_for_file(str(path), timeout=120)
    machine.execute(f"sleep 0.5; rm {path}", check_output=False)
    machine.wait_until_fails(f"test -e {path}", timeout=120)
    with pytest.raises(CheckFailed, match=r"did not succeed: timed out after .* \(exit code 1\)") as caught:
        machine.wait_until_succeeds("echo why; false", timeout=3)
    assert caught.value.output == "why\n"
    with pytest.raises(CheckFailed, match="waiting for file /nowhere: timed out"):
        machine.wait_for_file("/nowhere", timeout=0.3)


def test_ports(machine: Machine, server: Server) -> None:
    machine.wait_for_open_port(server.port, addr="127.0.0.1", timeout=120)
    machine.wait_for_closed_port(_free_port(), timeout=120)
    with pytest.raises(CheckFailed, match="waiting for TCP port .* on localhost: timed out"):
        machine.wait_for_open_port(_free_port(), timeout=0.3)
    with pytest.raises(CheckFailed, match="to be closed: timed out"):
        machine.wait_for_closed_port(server.port, addr="127.0.0.1", timeout=0.3)


def test_copy(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    machine.copy_from_host(str(tmp_path / "a"), f"{tmp_path}/on node/b")
    assert machine.succeed(f"cat '{tmp_path}/on node/b'") == "text"
    machine.copy_from_machine(f"{tmp_path}/on node/b", "out")
    assert (tmp_path / "out" / "b").read_text() == "text"


def test_waiting_survives_a_reboot(tmp_path: Path) -> None:
    server = Server(tmp_path)
    connection = server.connection()
    machine = make(connection, tmp_path, [])
    try:
        machine.succeed("true")
        server.stop()
        server = Server(tmp_path, port=server.port)
        assert machine.wait_until_succeeds("echo back", timeout=120) == "back\n"
        start = time.monotonic()
        with pytest.raises(SSHError, match="no SSH connection"):
            server.stop()
            machine.wait_until_succeeds("true", timeout=2)
        assert time.monotonic() - start < 20
        server = Server(tmp_path, port=server.port)
        assert machine.execute(f"kill -9 {server.process.pid} $PPID", check_return=False)[0] == -1
    finally:
        connection.close()
        server.stop()


# -- systemd: a stand-in program, for there is no systemd where unit tests run -------------------------------------


@pytest.fixture
def systemctl(server: Server, tmp_path: Path) -> Path:
    """Answers as systemctl does (texts of systemd 252); the file says the unit's state, one word per question."""
    states = tmp_path / "states"
    server.program(
        "systemctl",
        f"""
        case "$*" in
          *show*) read -r state rest <{states}; [ -n "$rest" ] && echo "$rest" >{states}
                  [ "$state" = unknown ] && exit 4
                  printf 'Id=web.service\\nActiveState=%s\\nExecStart={{ path=/bin/x ; a=b }}\\n' "$state" ;;
          *list-jobs*) cat {tmp_path}/jobs 2>/dev/null || echo 'No jobs running.' ;;
          *status*) echo 'web.service - failed because of X' ;;
          *start*) exit 0 ;;
        esac""",
    )
    return states


def test_unit_info(machine: Machine, systemctl: Path) -> None:
    systemctl.write_text("active\n")
    info = machine.get_unit_info("web.service")
    assert info == {"Id": "web.service", "ActiveState": "active", "ExecStart": "{ path=/bin/x ; a=b }"}
    assert machine.get_unit_property("web.service", "Id") == "web.service"
    assert machine.start_job("web.service") == (0, "")
    machine.require_unit_state("web.service")
    with pytest.raises(CheckFailed, match='is in state "active", expected "inactive"'):
        machine.require_unit_state("web.service", "inactive")
    systemctl.write_text("unknown\n")
    with pytest.raises(CheckFailed, match="exit code 4"):
        machine.get_unit_info("web.service")


def test_wait_for_unit(machine: Machine, systemctl: Path, tmp_path: Path) -> None:
    systemctl.write_text("activating activating active\n")
    machine.wait_for_unit("web.service", timeout=120)

    systemctl.write_text("activating failed\n")
    with pytest.raises(CheckFailed, match='unit "web.service" reached state "failed"') as caught:
        machine.wait_for_unit("web.service", timeout=120)
    assert caught.value.output == "web.service - failed because of X\n"

    systemctl.write_text("inactive\n")
    with pytest.raises(CheckFailed, match="is inactive and there are no pending jobs"):
        machine.wait_for_unit("web.service", timeout=120)

    systemctl.write_text("inactive active\n")
    machine.wait_for_unit("web.service", timeout=120)

    (tmp_path / "jobs").write_text("JOB UNIT TYPE STATE\n1 web.service start waiting\n")
    systemctl.write_text("inactive inactive activating active\n")
    machine.wait_for_unit("web.service", timeout=120)

    systemctl.write_text("activating\n")
    with pytest.raises(CheckFailed, match='waiting for unit "web.service": timed out'):
        machine.wait_for_unit("web.service", timeout=0.5)


# -- scripts -----------------------------------------------------------------------------------------------------


def test_script_that_passes(machine: Machine, tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    checks = run(
        """
        start_all()
        with subtest("first"):
            oar_server.succeed("true")
        with subtest("second"):
            assert machines["oar-server"] is machines[0] is machine
            print("hello", machine.succeed("echo world"), end="")
        machine.log("done")
        log.info("over")
        print("no end of line", end="")
        """,
        machine,
        progress=str(progress),
    )
    assert [(check.name, check.ok) for check in checks] == [
        ("testScript: first", True),
        ("testScript: second", True),
        ("testScript", True),
    ]
    assert "hello world\n" in progress.read_text()
    assert progress.read_text().endswith("no end of line\n")


def test_failing_line_command_and_output_are_told(machine: Machine) -> None:
    checks = run(
        """
        def look(m):
            m.succeed("echo seen; echo why >&2; exit 3")

        with subtest("part"):
            look(machine)
        machine.succeed("touch /never")
        """,
        machine,
    )
    part, script = checks
    assert (part.name, part.ok, part.node) == ("testScript: part", False, NODE)
    assert (script.ok, script.node) == (False, NODE)
    assert script.details == CheckDetails(
        line=3,
        source='m.succeed("echo seen; echo why >&2; exit 3")',
        called_from=[6],
        command="echo seen; echo why >&2; exit 3",
        returncode=3,
        output="seen\nwhy\n",
    )
    assert script.message.startswith('line 3: m.succeed("echo seen; echo why >&2; exit 3")\ncommand `')
    assert script.message.endswith("failed (exit code 3)\nseen\nwhy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("assert 1 == 2, 'numbers'", "line 1: assert 1 == 2, 'numbers'\nAssertionError: numbers"),
        ("x = 1\nraise SystemExit(0)", "line 2: raise SystemExit(0)\nSystemExit: 0"),
        ("retry(lambda last: False, 0.2)", "line 1: retry(lambda last: False, 0.2)\ntimed out after"),
        ("machines['absent']", "line 1: machines['absent']\nKeyError: 'absent'"),
    ],
)
def test_other_failures_belong_to_no_node(machine: Machine, text: str, message: str) -> None:
    (check,) = run(text, machine)
    assert not check.ok and check.node is None
    assert check.message.startswith(message)


def test_deadline_ends_a_command(kept: Connection, tmp_path: Path) -> None:
    machine = make(kept, tmp_path, [], seconds=3)
    start = time.monotonic()
    (check,) = run("machine.succeed('sleep 60')", machine, seconds=3)
    assert time.monotonic() - start < 20
    assert "longer than 3 s (verify_timeout)" in check.message and "sleep 60" in check.message


def test_deadline_ends_a_script_that_never_asks(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.immutable.compose.plugins.module_utils.checks import script_process

    monkeypatch.setattr(script_process, "PATIENCE", 0.1)
    stdout = sys.stdout
    (check,) = run("import time\n\ntime.sleep(60)", machine, seconds=3)
    assert not check.ok
    assert check.message.startswith("line 3: time.sleep(60)\nthe verification took longer")
    assert sys.stdout is stdout, "the result of the module goes there"


def test_parallel_is_parallel_and_keeps_the_order(server: Server, tmp_path: Path) -> None:
    connections = [server.connection() for dummy in range(3)]
    machines = [make(connection, tmp_path, [], name=f"n{i}") for i, connection in enumerate(connections)]
    all_there = " -a ".join(f"-e {tmp_path}/n{i}" for i in range(3))
    checks = run(
        f"""
        start_all()
        def meet(m):
            touch = "touch {tmp_path}/" + m.name
            return m.succeed(touch + "; until [ {all_there} ]; do sleep 0.1; done; echo " + m.name)
        out = parallel(*[lambda m=m: meet(m) for m in machines])
        assert out == ["n0\\n", "n1\\n", "n2\\n"], out
        parallel(n0.start, lambda: n2.succeed("exit 9"))
        """,
        *machines,
    )
    for connection in connections:
        connection.close()
    assert checks[-1].node == "n2"
    assert checks[-1].details.returncode == 9
    assert parallel() == []


def test_progress_says_what_is_waited_for(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.immutable.compose.plugins.module_utils import progress as module

    monkeypatch.setattr(module, "HEARTBEAT", 0.2)
    path = tmp_path / "progress"
    run("\nmachine.succeed('sleep 1')", machine, progress=str(path))
    assert "test script: line 2, oar-server: must succeed: sleep 1 (" in path.read_text()
