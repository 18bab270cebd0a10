# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
servers = [m for m in machines if m.role == "server"]
clients = [m for m in machines if m.role == "client"]
start_all()

with subtest("all servers have the same configuration"):
    for server in servers:
        server.wait_for_unit("orangefs-server.service")
    assert len({server.succeed("cat /run/orangefs/server.conf") for server in servers}) == 1

with subtest("the kernel's module is that of the kernel that runs"):
    for client in clients:
        client.succeed('modinfo -F vermagic orangefs | grep "^$(uname -r) "')
        client.wait_until_succeeds("mountpoint /data", timeout=600)

with subtest("what one client writes, all read"):
    clients[0].succeed("cat /proc/sys/kernel/random/uuid > /data/hello; sync")
    text = clients[0].succeed("cat /data/hello").strip()
    for client in clients:
        client.wait_until_succeeds(f"grep -x {text} /data/hello", timeout=30)
