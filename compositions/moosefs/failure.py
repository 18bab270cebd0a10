# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
# A server loses its power while a client writes, and its chunks get another second copy; then the master loses its own.
servers = [m for m in machines if m.role == "chunkserver"]
clients = [m for m in machines if m.role == "client"]
writer, reader, victim = clients[0], clients[-1], servers[-1]
start_all()

loop = "n=0; while sleep 0.2; do n=$((n + 1)); echo $n > /data/failure/$n || exit 1; done"
writer.succeed("rm -rf /data/failure; mkdir /data/failure", f"systemd-run --unit=writer sh -c '{loop}'")
count = "ls /data/failure | wc -l"


def written():
    return int(reader.succeed(count))


one_copy = "cd /data/failure; mfscheckfile * | grep '1 copies\\|1 copy'"
try:
    writer.wait_until_succeeds(f"test $({count}) -gt 20", timeout=60)
    with subtest("a server dies, and writes go on"):
        victim.crash()
        writer.wait_until_succeeds(f"test $({count}) -gt {written() + 20}", timeout=120)

    with subtest("the others copy what is there only once"):
        writer.wait_until_fails(one_copy, timeout=300)
        victim.start()

    with subtest("the master dies, and writes go on when it is back"):
        before = written()
        master.crash()
        master.start()
        writer.wait_until_succeeds(f"test $({count}) -gt {before + 20}", timeout=120)
        writer.succeed("systemctl is-active writer")
finally:
    writer.execute("systemctl stop writer")

with subtest("nothing of it is lost"):
    last = written()
    text = reader.succeed(f"cd /data/failure; seq {last} | xargs cat")
    assert text.split() == [str(n + 1) for n in range(last)], text
