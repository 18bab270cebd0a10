# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
# A node loses its power in the middle of a job. Slurm notices, and starts the job anew once the node is back.
nodes = [m for m in machines if m.role == "node"]
victim = nodes[-1]
count = len(nodes)
start_all()
controller.wait_until_succeeds(f"test $(sinfo --noheader --Node --states=idle | wc -l) = {count}", timeout=120)

nodes[0].succeed("rm -f /tmp/go /tmp/failure.out")
work = "srun hostname; until test -e /tmp/go; do sleep 1; done"
submit = f"sbatch --parsable --requeue --chdir=/tmp -N {count} -o /tmp/failure.out --wrap='{work}'"
job = nodes[0].succeed(f"runuser -u researcher -- {submit}").strip()


def state():
    return controller.succeed(f"scontrol show job {job}")


controller.wait_until_succeeds(f"scontrol show job {job} | grep JobState=RUNNING", timeout=60)

with subtest("the node is down"):
    victim.crash()
    controller.wait_until_succeeds(f"sinfo --noheader --Node --states=down | grep {victim.name}", timeout=120)
    assert "JobState=PENDING" in state(), state()

with subtest("it is back, and the job runs on all nodes"):
    victim.start()
    nodes[0].succeed("touch /tmp/go")
    controller.wait_until_succeeds(f"scontrol show job {job} | grep JobState=COMPLETED", timeout=400)
    assert "Restarts=1" in state(), state()
    out = nodes[0].succeed("cat /tmp/failure.out")
    assert set(out.split()) >= {m.name for m in nodes}, out
