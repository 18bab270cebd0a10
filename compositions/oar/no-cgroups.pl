# What OAR runs on each node of a job, before and after it. Its own puts jobs into cgroups, and knows those of version 1 only.
exit(0);
