# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
nodes = [m for m in machines if m.role == "node"]
names = sorted(m.name for m in nodes)
start_all()


def submit(resources, command):
    said = frontend.succeed(
        f"cd /home/researcher; runuser -u researcher -- oarsub -l {resources},walltime=0:5 '{command}'"
    )
    return said.split("OAR_JOB_ID=")[1].strip()


with subtest("all nodes are alive"):
    frontend.wait_until_succeeds(
        f"test $(oarnodes --sql \"state = 'Alive'\" -l | sort -u | wc -l) = {len(nodes)}", timeout=180
    )

with subtest("a job runs on all nodes"):
    job = submit(f"/host={len(nodes)}", "for host in $(uniq $OAR_NODEFILE); do oarsh $host hostname; done")
    frontend.wait_until_succeeds(f"oarstat -s -j {job} | grep -E 'Terminated|Error'", timeout=180)
    first = frontend.succeed(f"oarstat -f -j {job}")
    files = {
        m.name: m.execute(f"cat /home/researcher/OAR.{job}.stdout /home/researcher/OAR.{job}.stderr")[1] for m in nodes
    }
    assert any(sorted(text.split()) == names for text in files.values()), (first, files)
