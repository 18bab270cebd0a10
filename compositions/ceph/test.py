# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
mons = [m for m in machines if m.role == "mon"]
osds = [m for m in machines if m.role == "osd"]
clients = [m for m in machines if m.role == "client"]
start_all()

with subtest("all monitors agree, and all OSDs are up"):
    mons[0].wait_until_succeeds(f"ceph quorum_status | jq -e '.quorum | length == {len(mons)}'", timeout=300)
    mons[0].wait_until_succeeds(f"ceph osd stat --format json | jq -e '.num_up_osds == {len(osds)}'", timeout=300)

with subtest("each OSD has its own number, UUID and key, and all of them one image"):
    for what in ("id", "uuid", "key"):
        assert len({m.succeed(f"cat /var/lib/ceph/osd/{what}") for m in osds}) == len(osds), what
    assert len({m.succeed("cat /usr/lib/compose/identity") for m in osds}) == 1

with subtest("what one client writes, all read"):
    for client in clients:
        client.succeed("mountpoint /data")
    clients[0].succeed("echo $(cat /proc/sys/kernel/random/uuid) > /data/hello")
    text = clients[0].succeed("cat /data/hello").strip()
    for client in clients:
        client.wait_until_succeeds(f"grep -x {text} /data/hello", timeout=30)

with subtest("everything is there twice"):
    clean = '.pgmap.pgs_by_state | length == 1 and .[0].state_name == "active+clean"'
    mons[0].wait_until_succeeds(f"ceph status --format json | jq -e '{clean}'", timeout=300)
    mons[0].succeed("ceph status > /tmp/status")
    mons[0].copy_from_machine("/tmp/status", "ceph")
