# MooseFS: a master that knows where chunks are, servers that have them, each chunk twice, and clients with all of it at /data.
{ helpers, ... }:
let
  base.kernel = "linux-image-cloud-amd64";
in
{
  roles.master = helpers.merge [
    base
    {
      description = "Knows files, and where their chunks are";
      packages = [ "moosefs-master" ];
      volumes.metadata = { mount = "/var/lib/mfs"; size = 256; user = "mfs"; group = "mfs"; mode = "0750"; };
      files."/etc/mfs/mfsmaster.cfg".text = ''
        WORKING_USER = mfs
        WORKING_GROUP = mfs
        DATA_PATH = /var/lib/mfs
        # Seconds until chunks of which a copy is missing are copied again: after a start, and after a server has gone.
        OPERATIONS_DELAY_INIT = 10
        OPERATIONS_DELAY_DISCONNECT = 10
      '';
      files."/etc/mfs/mfsexports.cfg".text = ''
        * / rw,alldirs,admin,maproot=0:0
        * . rw
      '';
      units."moosefs-master.service" = { };
      files."/etc/systemd/system/moosefs-master.service.d/volume.conf".text = ''
        [Service]
        # An empty volume is an empty file system; one that lost its power is made whole by its log.
        ExecStartPre=/bin/sh -ec 'cd /var/lib/mfs; ls | grep -q ^metadata || { printf "MFSM NEW" >metadata.mfs; chown mfs: metadata.mfs; }'
        ExecStart=
        ExecStart=/usr/sbin/mfsmaster -c ''${CFGFILE} -a -f start
      '';
      ports = [ 9419 9420 9421 ];
    }
  ];

  roles.chunkserver = helpers.merge [
    base
    {
      description = "Has chunks";
      packages = [ "moosefs-chunkserver" ];
      volumes.chunks = { mount = "/srv/chunks"; size = 2048; user = "mfs"; group = "mfs"; };
      # The number that the master has given this server at its first start.
      volumes.number = { mount = "/var/lib/mfs"; size = 64; user = "mfs"; group = "mfs"; };
      files."/etc/mfs/mfschunkserver.cfg".text = ''
        WORKING_USER = mfs
        WORKING_GROUP = mfs
        DATA_PATH = /var/lib/mfs
        HDD_CONF_FILENAME = /etc/mfs/mfshdd.cfg
        HDD_LEAVE_SPACE_DEFAULT = 256MiB
        MASTER_HOST = master
      '';
      files."/etc/mfs/mfshdd.cfg".text = "/srv/chunks\n";
      units."moosefs-chunkserver.service" = { };
      ports = [ 9422 ];
    }
  ];

  roles.client = helpers.merge [
    base
    {
      description = "Works on /data";
      packages = [ "moosefs-client" "moosefs-cli" "fio" ];
      units."mfsmount.service".text = ''
        [Unit]
        Description=MooseFS at /data

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/bin/sh -ec 'mkdir -p /data; until mfsmount /data -H master; do sleep 1; done'
        ExecStop=/bin/umount --lazy /data
        TimeoutStartSec=10min

        [Install]
        WantedBy=multi-user.target
      '';
    }
  ];

  rolesDistribution = { chunkserver = 3; client = 2; };

  testScript = builtins.readFile ./test.py;
}
