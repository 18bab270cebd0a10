# GlusterFS: every server keeps a copy of the volume "gv0", which every client has at /data.
{ helpers, ... }:
let
  base.kernel = "linux-image-cloud-amd64";
in
{
  roles.server = helpers.merge [
    base
    {
      description = "Keeps a copy of gv0";
      packages = [ "glusterfs-server" ];
      volumes.brick = { mount = "/srv/brick"; size = 2048; };
      # What a server is known by, a UUID, and whom it knows: without it, a new image would be a stranger.
      volumes.glusterd = { mount = "/var/lib/glusterd"; size = 64; };
      files."/usr/local/lib/gluster-volume".source = ./gluster-volume;
      units."glusterd.service" = { };
      units."gluster-volume.service".text = ''
        [Unit]
        Description=A volume of all servers
        Requires=glusterd.service
        After=glusterd.service

        [Service]
        Type=oneshot
        ExecStart=/usr/local/lib/gluster-volume
        TimeoutStartSec=10min

        [Install]
        WantedBy=multi-user.target
      '';
      files."/usr/local/lib/gluster-healed".source = ./gluster-healed;
      units."gluster-healed.service".text = ''
        [Unit]
        Description=Wait until no copy lacks anything
        Requires=glusterd.service
        After=glusterd.service gluster-volume.service

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/usr/local/lib/gluster-healed
        TimeoutStartSec=infinity

        [Install]
        WantedBy=multi-user.target
      '';
      units."gluster-volume.path".text = ''
        [Unit]
        Description=Follow the node document

        [Path]
        PathChanged=/run/compose/node.json

        [Install]
        WantedBy=multi-user.target
      '';
      # Looked for at each start, with 20 runs of Python, and not used: replication to other sites.
      postInstall = "rm /usr/lib/*/glusterfs/gsyncd";
      ports = [ 24007 ];
    }
  ];

  roles.client = helpers.merge [
    base
    {
      description = "Works on /data";
      packages = [ "glusterfs-client" "fio" ];
      files."/usr/local/lib/gluster-mount".source = ./gluster-mount;
      units."gluster-mount.service".text = ''
        [Unit]
        Description=gv0 at /data

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/usr/local/lib/gluster-mount
        ExecStop=/bin/umount --lazy /data
        TimeoutStartSec=10min

        [Install]
        WantedBy=multi-user.target
      '';
    }
  ];

  rolesDistribution = { server = 3; client = 2; };

  testScript = builtins.readFile ./test.py;
}
