# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
# While a client writes: an OSD loses its power, then the node of the active metadata server.
mons = [m for m in machines if m.role == "mon"]
osds = [m for m in machines if m.role == "osd"]
clients = [m for m in machines if m.role == "client"]
writer, reader = clients[0], clients[-1]
start_all()

loop = "n=0; while sleep 0.2; do n=$((n + 1)); echo $n > /data/failure/$n || exit 1; done"
writer.succeed("rm -rf /data/failure; mkdir /data/failure", f"systemd-run --unit=writer sh -c '{loop}'")
count = "ls /data/failure | wc -l"


def written():
    return int(writer.succeed(count))


def more():
    return writer.wait_until_succeeds(f"test $({count}) -gt {written() + 20}", timeout=180)


def up(number):
    return f"ceph osd stat --format json | jq -e '.num_up_osds == {number}'"


clean = """ceph status --format json |
    jq -e '.pgmap.pgs_by_state | length == 1 and .[0].state_name == "active+clean"'"""
try:
    more()
    with subtest("an OSD dies, and writes go on"):
        osds[-1].crash()
        mons[0].wait_until_succeeds(up(len(osds) - 1), timeout=120)
        more()

    if len(osds) > 2:
        with subtest("the others make the copies that it had"):
            mons[0].wait_until_succeeds(clean, timeout=300)

    with subtest("it is back, and has what was written meanwhile"):
        osds[-1].start()
        mons[0].wait_until_succeeds(up(len(osds)), timeout=180)
        mons[0].wait_until_succeeds(clean, timeout=300)

    active = """ceph fs status fs --format json | jq -er '.mdsmap[] | select(.state == "active").name'"""
    first = mons[0].succeed(active).strip()
    witness = next(m for m in mons if m.name != first)
    with subtest("the active metadata server dies, and another one takes over"):
        machines[first].crash()
        witness.wait_until_succeeds(f"{active} | grep -v {first}", timeout=180)
        more()

    with subtest("its node is back among the monitors"):
        machines[first].start()
        witness.wait_until_succeeds(f"ceph quorum_status | jq -e '.quorum | length == {len(mons)}'", timeout=180)
    writer.succeed("systemctl is-active writer")
finally:
    writer.execute("systemctl stop writer")

with subtest("nothing of it is lost"):
    last = written()
    text = reader.succeed(f"cd /data/failure; seq {last} | xargs cat", timeout=120)
    assert text.split() == [str(n + 1) for n in range(last)], text
