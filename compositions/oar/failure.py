# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
# A node loses its power: jobs run on the others, and those that need it wait until it is back.
nodes = [m for m in machines if m.role == "node"]
victim = nodes[-1]
start_all()


def submit(hosts, command):
    resources = f"/host={hosts},walltime=0:5"
    said = frontend.succeed(f"cd /home/researcher; runuser -u researcher -- oarsub -l {resources} '{command}'")
    return said.split("OAR_JOB_ID=")[1].strip()


def wait_for(job):
    frontend.wait_until_succeeds(f"oarstat -s -j {job} | grep Terminated", timeout=300)


with subtest("a node is suspected once it is dead"):
    victim.crash()
    frontend.wait_until_succeeds(f"oarnodes {victim.name} | grep 'state *: Suspected'", timeout=180)

with subtest("jobs run on the others, and wait for it"):
    whole = submit(len(nodes), "hostname")
    wait_for(submit(1, "hostname"))
    assert "Waiting" in frontend.succeed(f"oarstat -s -j {whole}")

with subtest("it is back, and is used"):
    victim.start()
    frontend.wait_until_succeeds(f"oarnodes {victim.name} | grep 'state *: Alive'", timeout=180)
    wait_for(whole)
