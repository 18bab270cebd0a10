# Ceph and CephFS. All nodes of a role have one image: what is a node's own comes with the node document, or is made at its
# first boot and stays on its volume.
{ helpers, setup, ... }:
let
  base = {
    kernel = "linux-image-cloud-amd64";
    packages = [ "ceph-common" ];
    files."/usr/local/lib/ceph-node".source = ./node;
    files."/etc/ceph/base.conf".text = ''
      [global]
      fsid = ${setup.params.fsid or "6f3b3b5e-5f0b-4a86-9d1e-3b8f0a2f7c11"}
      ms_bind_ipv6 = false
      auth_allow_insecure_global_id_reclaim = false
      # Two copies, on two nodes; one is enough to go on.
      osd_pool_default_size = 2
      osd_pool_default_min_size = 1
      osd_pool_default_pg_autoscale_mode = off
      osd_crush_chooseleaf_type = 1
      # In seconds: a silent OSD is down, as one of the others says; then its copies are made elsewhere.
      osd_heartbeat_grace = 10
      mon_osd_min_down_reporters = 1
      mon_osd_down_out_interval = 30
      mon_data_avail_warn = 5
      [osd]
      # A file on the volume. For a disk: `ln -s /dev/disk/by-id/… block` in its directory.
      bluestore_block_size = 1500000000
      bluestore_block_create = true
      osd_memory_target = 939524096
    '';
    # It comes along with ceph-common, and fails where there is no NVMe over fabrics.
    units."nvmf-autoconnect.service".mask = true;
    units."ceph-conf.service".text = ''
      [Unit]
      Description=ceph.conf and keys from the node document

      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/usr/local/lib/ceph-node/conf

      [Install]
      WantedBy=multi-user.target
    '';
  };

  # node/TYPE makes what the daemon needs, ID is a command that prints what it is called.
  daemon = type: id: {
    packages = [ "ceph-${type}" ];
    units."ceph-${type}.service".text = ''
      [Unit]
      Description=Ceph ${type}
      Requires=ceph-conf.service
      After=ceph-conf.service

      [Service]
      ExecStartPre=/usr/local/lib/ceph-node/${type}
      ExecStart=/bin/sh -c 'exec /usr/bin/ceph-${type} -f --id "$(${id})" --setuser ceph --setgroup ceph'
      Restart=on-failure
      RestartSec=5
      TimeoutStartSec=10min
      LimitNOFILE=1048576

      [Install]
      WantedBy=multi-user.target
    '';
  };

  owned = mount: size: { inherit mount size; user = "ceph"; group = "ceph"; };
in
{
  roles.mon = helpers.merge [
    base
    (daemon "mon" "hostname")
    (daemon "mgr" "hostname")
    (daemon "mds" "hostname")
    {
      description = "Knows the cluster, and the names of files: monitor, manager, metadata server";
      volumes.mon = owned "/var/lib/ceph/mon" 1024;
      ports = [ 3300 6789 ];
    }
  ];

  roles.osd = helpers.merge [
    base
    (daemon "osd" "cat /var/lib/ceph/osd/id")
    {
      description = "Has data";
      volumes.osd = owned "/var/lib/ceph/osd" 2048;
    }
  ];

  roles.client = helpers.merge [
    base
    {
      description = "Works on /data";
      packages = [ "ceph-fuse" "fio" ];
      kernelModules = [ "ceph" ];
      units."cephfs.service".text = ''
        [Unit]
        Description=CephFS at /data
        Requires=ceph-conf.service
        After=ceph-conf.service

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/usr/local/lib/ceph-node/mount
        ExecStop=/bin/umount --lazy /data
        TimeoutStartSec=10min

        [Install]
        WantedBy=multi-user.target
      '';
    }
  ];

  rolesDistribution = { mon = 3; osd = 2; client = 1; };

  testScript = builtins.readFile ./test.py;
}
