# Machines and functions are defined where it runs: docs/checks.md. pylint: disable=undefined-variable
nodes = [m for m in machines if m.role == "node"]
count = len(nodes)
as_researcher = "runuser -u researcher -- "
start_all()

with subtest("all nodes are idle"):
    controller.wait_until_succeeds(f"test $(sinfo --noheader --Node --states=idle | wc -l) = {count}", timeout=120)

with subtest("a command runs on every node"):
    out = nodes[0].succeed(f"{as_researcher}srun --chdir=/tmp -N {count} hostname", timeout=120)
    assert sorted(out.split()) == sorted(m.name for m in nodes), out

with subtest("a batch job over all nodes adds up the ranks of MPI"):
    job = f"sbatch --wait --chdir=/tmp -N {count} --ntasks-per-node=1 -o /tmp/mpi.out /usr/local/share/mpi.sh"
    nodes[0].succeed("rm -f /tmp/mpi.out", f"{as_researcher}{job}", timeout=300)
    out = nodes[0].succeed("cat /tmp/mpi.out")
    assert f"sum {count * (count + 1) // 2} on {count}" in out, out
    nodes[0].copy_from_machine("/tmp/mpi.out", "mpi")
