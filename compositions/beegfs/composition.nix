# BeeGFS 7, in the plain form of NixOS Compose. Nixpkgs has none any more: overlay.nix brings it. All nodes of a role have one
# image: what is a node's own comes with the node document, and its numbers stay with its data.
{ setup, ... }:
let
  # Servers boot the kernel of their Nixpkgs. The client's module is for Linux up to 6.11, say its release notes.
  kernel = "linux_${setup.params.kernel or "6_6"}";

  # The daemon `type`, with the configuration that node.sh makes of the node document.
  daemon = type: { lib, pkgs, ... }: {
    nixpkgs.overlays = [ (import ./overlay.nix) ];
    # Servers and tools are under the BeeGFS EULA: to build them is to accept it.
    nixpkgs.config.allowUnfreePredicate = package: lib.getName package == "beegfs";
    environment.systemPackages = [ pkgs.beegfs ];
    networking.firewall.enable = false;

    systemd.services."beegfs-${type}" = {
      description = "BeeGFS ${type}";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      path = [ pkgs.jq ];
      preStart = "set -- ${type}\n" + builtins.readFile ./node.sh;
      serviceConfig.ExecStart = "${pkgs.beegfs}/bin/beegfs-${type} cfgFile=/run/beegfs/${type}.conf";
    };
  };
in
{
  roles = {
    # Knows who belongs to the file system.
    mgmtd = daemon "mgmtd";

    # Have names and attributes of files, and what is in them.
    meta = daemon "meta";
    storage = daemon "storage";

    # Has the file system at /data. helperd looks names up for the kernel.
    client = { config, pkgs, ... }: {
      imports = [ (daemon "helperd") ];

      boot.kernelPackages = pkgs.linuxKernel.packages.${kernel};
      # Built for the kernel that this node boots, whoever has chosen it.
      boot.extraModulePackages = [ (config.boot.kernelPackages.callPackage ./client-module.nix { }) ];
      boot.kernelModules = [ "beegfs" ];
      environment.systemPackages = [ pkgs.fio ];

      systemd.services.beegfs-client = {
        description = "BeeGFS at /data";
        wantedBy = [ "multi-user.target" ];
        requires = [ "beegfs-helperd.service" ];
        after = [ "beegfs-helperd.service" "systemd-modules-load.service" ];
        path = [ pkgs.jq pkgs.util-linux ];
        preStart = "set -- client\n" + builtins.readFile ./node.sh;
        # Nodes boot in any order: it waits for the servers.
        script = ''
          mkdir -p /data
          until mount -t beegfs beegfs_nodev /data -o cfgFile=/run/beegfs/client.conf,nosuid; do sleep 1; done
        '';
        preStop = "umount --lazy /data";
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; TimeoutStartSec = "10min"; };
      };
    };
  };

  rolesDistribution = { meta = 1; storage = 2; client = 2; };

  # For the builder nixos; NixOS Compose passes it over.
  compose =
    let data = { mount = "/var/lib/beegfs"; size = 2048; }; in
    {
      mgmtd = { ports = [ 8008 ]; volumes = { inherit data; }; };
      meta = { ports = [ 8005 ]; volumes = { inherit data; }; };
      storage = { ports = [ 8003 ]; volumes = { inherit data; }; };
    };

  testScript = builtins.readFile ./test.py;
}
