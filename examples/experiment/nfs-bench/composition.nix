# NFS with clients that measure: the server's directory is /data on all of them, as in the compositions gluster and ceph.
{ helpers, ... }:
let
  base = {
    kernel = "linux-image-cloud-amd64";
    # NFS 4 alone needs none of the helpers of its older versions.
    units = {
      "rpcbind.service".mask = true;
      "rpcbind.socket".mask = true;
      "rpc-statd.service".mask = true;
      "rpc-statd-notify.service".mask = true;
      "nfs-blkmap.service".mask = true;
    };
  };
in
{
  roles.server = helpers.merge [
    base
    {
      description = "Exports /srv/shared";
      packages = [ "nfs-kernel-server" ];
      volumes.shared = { mount = "/srv/shared"; size = 1024; mode = "1777"; };
      files."/etc/exports".text = ''
        /srv/shared *(rw,sync,no_subtree_check,no_root_squash,fsid=0)
      '';
      files."/etc/nfs.conf.d/version.conf".text = ''
        [nfsd]
        vers2=n
        vers3=n
      '';
      units."nfs-server.service" = { };
      ports = [ 2049 ];
    }
  ];

  roles.client = helpers.merge [
    base
    {
      description = "Works on /data";
      packages = [ "nfs-common" "fio" ];
      # Mounted at first use: the order in which nodes boot does not matter.
      units."data.automount".text = ''
        [Unit]
        Description=Shared data, at first use

        [Automount]
        Where=/data

        [Install]
        WantedBy=multi-user.target
      '';
      units."data.mount" = {
        enable = false;
        text = ''
          [Unit]
          Description=Shared data
          After=network.target

          [Mount]
          What=server:/
          Where=/data
          Type=nfs4
          Options=retry=2
          TimeoutSec=150
          # Else a client could not shut down while the server is gone.
          ForceUnmount=yes
          LazyUnmount=yes
        '';
      };
    }
  ];

  rolesDistribution.client = 1;
}
