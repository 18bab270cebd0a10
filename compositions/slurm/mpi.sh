#!/bin/sh
# Adds up the ranks, and counts the machines that have one.
mpirun python3 -c '
from mpi4py import MPI

world = MPI.COMM_WORLD
total = world.allreduce(world.rank + 1)
names = world.gather(MPI.Get_processor_name())
if world.rank == 0:
    print("sum", total, "on", len(set(names)))
'
