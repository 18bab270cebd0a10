# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
by_role = {role: [m for m in machines if m.role == role] for role in ("meta", "storage", "client")}
clients = by_role["client"]
start_all()

with subtest("each server and its target is the number of its node"):
    for role in ("meta", "storage"):
        for number, machine in enumerate(by_role[role], 1):
            machine.wait_for_unit(f"beegfs-{role}.service")
            assert machine.succeed(f"cat /var/lib/beegfs/{role}/nodeNumID").strip() == str(number)

with subtest("the kernel's module is that of the kernel that runs"):
    for client in clients:
        client.succeed('modinfo -F vermagic beegfs | grep "^$(uname -r) "')
        client.wait_until_succeeds("mountpoint /data", timeout=600)

with subtest("what one client writes, all read"):
    clients[0].succeed("cat /proc/sys/kernel/random/uuid > /data/hello; sync /data/hello")
    text = clients[0].succeed("cat /data/hello").strip()
    for client in clients:
        client.wait_until_succeeds(f"grep -x {text} /data/hello", timeout=30)

with subtest("what is written is with the storage servers"):
    clients[0].succeed("dd if=/dev/urandom of=/data/blocks bs=1M count=16; sync /data/blocks")
    for machine in by_role["storage"]:
        machine.wait_until_succeeds("find /var/lib/beegfs/storage/chunks -type f | grep .", timeout=30)
