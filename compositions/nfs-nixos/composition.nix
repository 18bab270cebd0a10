# A directory that nodes share over NFS, in the plain form of NixOS Compose: the builders nixos and nxc both read it.
{ pkgs, ... }:
{
  roles = {
    node = { pkgs, ... }: {
      environment.systemPackages = with pkgs; [ openmpi ior htop ];
      networking.firewall.enable = false;
      fileSystems."/data" = {
        device = "server:/";
        fsType = "nfs";
        # Mounted at first use: the order in which nodes boot does not matter.
        options = [ "nfsvers=4.2" "noauto" "x-systemd.automount" "_netdev" ];
      };
    };

    server = { pkgs, ... }: {
      environment.systemPackages = [ pkgs.htop ];
      networking.firewall.enable = false;
      services.nfs.server = {
        enable = true;
        createMountPoints = true;
        exports = ''
          /srv/shared *(rw,no_subtree_check,fsid=0,no_root_squash)
        '';
      };
    };
  };

  rolesDistribution = { node = 2; };

  # What the builder nixos checks on every node; NixOS Compose passes it over.
  compose.server.ports = [ 2049 ];

  testScript = ''
    start_all()
    server.wait_for_unit("nfs-server.service")

    with subtest("what node1 writes, node2 reads"):
        node1.wait_until_succeeds("echo written by node1 > /data/greeting")
        assert node2.succeed("cat /data/greeting").strip() == "written by node1"
        server.succeed("grep -q node1 /srv/shared/greeting")

    with subtest("the programs are there"):
        for machine in (node1, node2):
            machine.succeed("mpirun --version", "type ior", "htop --version")
  '';
}
