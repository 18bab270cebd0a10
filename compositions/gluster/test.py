# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
servers = [m for m in machines if m.role == "server"]
clients = [m for m in machines if m.role == "client"]
start_all()

with subtest("all copies are online"):
    servers[0].wait_until_succeeds(
        f"test $(gluster volume status gv0 detail | grep -c '^Online.*Y') = {len(servers)}", timeout=120
    )

with subtest("what one client writes, all read, and every server has"):
    for client in clients:
        client.succeed("mountpoint /data")
    clients[0].succeed("cat /proc/sys/kernel/random/uuid > /data/hello")
    text = clients[0].succeed("cat /data/hello")
    for client in clients:
        client.wait_until_succeeds(f"grep -x {text.strip()} /data/hello", timeout=30)
    for server in servers:
        server.wait_until_succeeds(f"grep -x {text.strip()} /srv/brick/gv0/hello", timeout=120)
