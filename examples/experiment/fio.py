# pylint: disable=undefined-variable  # the machines and the parameters are there when it runs
# All clients at once, each with a file of its own; `clients` is how many there are, `block` the size of a block.
import json

SIZE = {"4k": "4M", "1M": "64M"}[block]
FIO = f"fio --name=$(hostname) --directory=/data --bs={block} --size={SIZE} --end_fsync=1 --output-format=json"
workers = [machine for machine in machines if machine.role == "client"]
assert len(workers) == clients

for machine in workers:
    machine.wait_until_succeeds("touch /data/ready", timeout=120)

for way in ("write", "read"):
    result = f"/tmp/{way}.json"
    for machine in workers:
        machine.succeed(f"rm -f {result}")
        run = f"{FIO} --rw={way} --output={result}.new && mv {result}.new {result}"
        machine.succeed(f"systemd-run --quiet --collect sh -c '{run}'")
    speed = 0.0
    for machine in workers:
        machine.wait_for_file(result, timeout=200)
        measured = json.loads(machine.succeed(f"cat {result}"))
        speed += measured["jobs"][0][way]["bw_bytes"] / 2**20
        machine.copy_from_machine(result, machine.name)
    record(way, round(speed, 3), "MiB/s")
