# A directory that nodes share over NFS.
{ helpers, ... }:
let
  base = {
    kernel = "linux-image-cloud-amd64";
    packages = [ "htop" ];
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
      volumes.shared = { mount = "/srv/shared"; size = 512; mode = "1777"; };
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

  roles.node = helpers.merge [
    base
    {
      description = "Works on /data, the directory of the server";
      packages = [ "nfs-common" "openmpi-bin" ];
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
          # Else a node could not shut down while the server is gone.
          ForceUnmount=yes
          LazyUnmount=yes
        '';
      };
    }
  ];

  rolesDistribution.node = 2;

  testScript = ''
    start_all()
    server.wait_for_unit("nfs-server.service")

    with subtest("what node1 writes, node2 reads"):
        node1.succeed("echo written by node1 > /data/greeting")
        assert node2.succeed("cat /data/greeting").strip() == "written by node1"
        server.succeed("grep -q node1 /srv/shared/greeting")

    with subtest("the programs are there"):
        for machine in (node1, node2):
            machine.succeed("mpirun --version", "htop --version")
  '';
}
