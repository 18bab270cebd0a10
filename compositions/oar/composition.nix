# OAR, the batch system of Grid'5000: a server with its database, a frontend where people submit, and nodes that run jobs.
{ helpers, ... }:
let
  base = {
    kernel = "linux-image-cloud-amd64";
    # `oarsub` for people, `oarstat` for `oarsh` on the nodes.
    packages = [ "oar-user" "oar-user-pgsql" ];
    users.researcher.uid = 1500;
    files."/etc/oar/lab.conf".source = ./lab.conf;
    files."/usr/local/lib/oar-conf".source = ./oar-conf;
    # Passwords are in it, and with it the key of the user oar is made.
    generated."/etc/oar/oar.conf".command = "/usr/local/lib/oar-conf";
  };
in
{
  roles.server = helpers.merge [
    base
    {
      description = "Has the queue, and starts jobs";
      packages = [ "oar-server" "oar-server-pgsql" "postgresql" ];
      # Keys that the package has made.
      postInstall = "rm -r /var/lib/oar/.ssh";
      volumes.database = { mount = "/var/lib/postgresql"; size = 512; user = "postgres"; group = "postgres"; };
      files."/etc/oar/no-cgroups.pl".source = ./no-cgroups.pl;
      files."/etc/postgresql/15/main/conf.d/lab.conf".text = "listen_addresses = '*'\n";
      files."/etc/postgresql/15/main/pg_hba.conf" = {
        user = "postgres";
        group = "postgres";
        mode = "0640";
        text = ''
          local all postgres        peer
          host  oar oar,oar_ro all  scram-sha-256
        '';
      };
      files."/usr/local/lib/oar-resources".source = ./oar-resources;
      units."oar-resources.service".text = ''
        [Unit]
        Description=Database of OAR, with the nodes of the deployment
        Requires=postgresql.service
        After=postgresql.service

        [Service]
        Type=oneshot
        ExecStart=/usr/local/lib/oar-resources

        [Install]
        WantedBy=multi-user.target
      '';
      units."oar-resources.path".text = ''
        [Unit]
        Description=Follow the node document

        [Path]
        PathChanged=/run/compose/node.json

        [Install]
        WantedBy=multi-user.target
      '';
      units."oar-server.service".text = ''
        [Unit]
        Description=OAR server
        After=oar-resources.service

        [Service]
        ExecStart=/usr/sbin/Almighty
        KillMode=control-group

        [Install]
        WantedBy=multi-user.target
      '';
      ports = [ 5432 6666 ];
    }
  ];

  roles.frontend = helpers.merge [
    base
    { description = "Where people submit jobs"; }
  ];

  roles.node = helpers.merge [
    base
    {
      description = "Runs jobs";
      packages = [ "oar-node" ];
      generated."/etc/oar/sshd_config".keep = true; # only root can read it, but there is no secret in it
      units."oar-node.service".text = ''
        [Unit]
        Description=The SSH server by which jobs are started

        [Service]
        RuntimeDirectory=sshd
        RuntimeDirectoryPreserve=yes
        ExecStart=/usr/sbin/sshd -D -f /etc/oar/sshd_config -o HostKey=/var/lib/oar/.ssh/id_ed25519

        [Install]
        WantedBy=multi-user.target
      '';
      ports = [ 6667 ];
    }
  ];

  rolesDistribution.node = 2;

  testScript = builtins.readFile ./test.py;
}
