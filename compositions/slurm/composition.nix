# A Slurm cluster with MPI: a controller and any number of nodes.
{ helpers, ... }:
let
  base = {
    kernel = "linux-image-cloud-amd64";
    users.researcher.uid = 1500;
    files."/usr/local/lib/slurm-conf".source = ./slurm-conf;
    files."/etc/slurm/base.conf".source = ./slurm.conf;
    # Everybody who has this key is believed who they are.
    generated."/etc/munge/munge.key".secret = "munge";
    units."munge.service" = { };
    units."slurm-conf.service".text = ''
      [Unit]
      Description=The nodes of the cluster are those of the deployment
      Before=slurmctld.service slurmd.service

      [Service]
      Type=oneshot
      ExecStart=/usr/local/lib/slurm-conf

      [Install]
      WantedBy=multi-user.target
    '';
    units."slurm-conf.path".text = ''
      [Unit]
      Description=Follow the node document

      [Path]
      PathChanged=/run/compose/node.json

      [Install]
      WantedBy=multi-user.target
    '';
  };
in
{
  roles.controller = helpers.merge [
    base
    {
      description = "Has the queue";
      packages = [ "slurmctld" ];
      # Jobs outlive a new image of the controller.
      volumes.queue = { mount = "/var/lib/slurm/slurmctld"; size = 256; user = "slurm"; group = "slurm"; };
      units."slurmctld.service" = { };
      ports = [ 6817 ];
    }
  ];

  roles.node = helpers.merge [
    base
    {
      description = "Runs jobs";
      files."/usr/local/share/mpi.sh".source = ./mpi.sh;
      packages = [ "slurmd" "slurm-client" "openmpi-bin" "python3-mpi4py" ];
      units."slurmd.service" = { };
      ports = [ 6818 ];
    }
  ];

  rolesDistribution.node = 2;

  testScript = builtins.readFile ./test.py;
}
