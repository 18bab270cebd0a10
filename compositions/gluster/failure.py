# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
# A server loses its power while a client writes, and is healed when it is back.
servers = [m for m in machines if m.role == "server"]
clients = [m for m in machines if m.role == "client"]
writer, reader, victim = clients[0], clients[-1], servers[-1]
start_all()

loop = "n=0; while sleep 0.2; do n=$((n + 1)); echo $n > /data/failure/$n || exit 1; done"
writer.succeed("rm -rf /data/failure; mkdir /data/failure", f"systemd-run --unit=writer sh -c '{loop}'")


def written():
    return int(writer.succeed("ls /data/failure | wc -l"))


try:
    with subtest("a server dies, and writes go on"):
        victim.crash()
        before = written()
        writer.wait_until_succeeds(f"test $(ls /data/failure | wc -l) -gt {before + 20}", timeout=120)
        writer.succeed("systemctl is-active writer")
finally:
    writer.execute("systemctl stop writer")

with subtest("it comes back without what was written meanwhile, and gets it"):
    lost = written()
    victim.start()
    victim.wait_until_succeeds(f"test $(ls /srv/brick/gv0/failure | wc -l) = {lost}", timeout=300)
    servers[0].wait_until_succeeds("! gluster volume heal gv0 info | grep 'Number of entries: [^0]'", timeout=300)
    for path in (f"/data/failure/{lost}", f"/srv/brick/gv0/failure/{lost}"):
        assert (reader if path.startswith("/data") else victim).succeed(f"cat {path}").strip() == str(lost)
