# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
servers = [m for m in machines if m.role == "chunkserver"]
clients = [m for m in machines if m.role == "client"]
start_all()

with subtest("the master knows all servers, each by a number of its own"):
    listed = "mfscli -H master -ns '|' -SCS | grep -c '|9422|'"
    clients[0].wait_until_succeeds(f"test $({listed}) -ge {len(servers)}", timeout=120)
    assert len({m.succeed("od -An -tx1 /var/lib/mfs/chunkserverid.mfs") for m in servers}) == len(servers)

with subtest("what one client writes, all read"):
    for client in clients:
        client.succeed("mountpoint /data")
    clients[0].succeed("cat /proc/sys/kernel/random/uuid > /data/hello")
    text = clients[0].succeed("cat /data/hello").strip()
    for client in clients:
        client.wait_until_succeeds(f"grep -x {text} /data/hello", timeout=30)

with subtest("each chunk is on two servers"):
    clients[0].wait_until_succeeds("mfscheckfile /data/hello | grep '2 copies: *1'", timeout=120)
