# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
# The server loses its power while a node writes: what it had said was written is there, and the node goes on.
writer, reader = [m for m in machines if m.role == "node"][:2]
start_all()

loop = "n=0; while sleep 0.2; do n=$((n + 1)); echo $n > /data/failure/$n && echo $n > /run/written || exit 1; done"
writer.succeed("rm -rf /data/failure; mkdir /data/failure", f"systemd-run --unit=writer sh -c '{loop}'")


def written():
    return int(writer.succeed("cat /run/written"))


try:
    writer.wait_until_succeeds("test $(cat /run/written) -gt 20", timeout=120)
    with subtest("the server dies, and the node waits for it"):
        server.crash()
        before = written()
        server.start()
    with subtest("it comes back, and the node goes on"):
        writer.wait_until_succeeds(f"test $(cat /run/written) -gt {before + 20}", timeout=300)
        writer.succeed("systemctl is-active writer")
finally:
    writer.execute("systemctl stop writer")

with subtest("nothing is missing of what was written"):
    last = written()
    server.succeed(f"for n in $(seq {last}); do test $(cat /srv/shared/failure/$n) = $n || exit 1; done")
    assert reader.succeed(f"cat /data/failure/{last}").strip() == str(last)
