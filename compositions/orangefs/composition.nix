# OrangeFS, in the plain form of NixOS Compose: of Nixpkgs' package, and with the module that Linux itself has. The servers are
# those of the node document, so that an image knows no number and no name of them.
_:
let
  base = { pkgs, ... }: {
    environment.systemPackages = [ pkgs.orangefs ];
    networking.firewall.enable = false;
  };
in
{
  roles = {
    # Each has files and names of files.
    server = { pkgs, ... }: {
      imports = [ base ];
      users.users.orangefs = { isSystemUser = true; group = "orangefs"; };
      users.groups.orangefs = { };

      systemd.services.orangefs-conf = {
        description = "Configuration of OrangeFS from the node document";
        path = [ pkgs.jq pkgs.orangefs ];
        script = builtins.readFile ./server.sh;
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      };

      systemd.services.orangefs-server = {
        description = "OrangeFS server";
        wantedBy = [ "multi-user.target" ];
        requires = [ "orangefs-conf.service" ];
        wants = [ "network-online.target" ];
        after = [ "orangefs-conf.service" "network-online.target" ];
        path = [ pkgs.orangefs ];
        # An empty store is made once, as the user whose data they are.
        preStart = ''
          [ ! -e /var/lib/orangefs/ready ] || exit 0
          rm -rf /var/lib/orangefs/data /var/lib/orangefs/meta
          pvfs2-server -f -a "$(uname -n)" /run/orangefs/server.conf
          touch /var/lib/orangefs/ready
        '';
        script = ''exec pvfs2-server -d -a "$(uname -n)" /run/orangefs/server.conf'';
        serviceConfig = { User = "orangefs"; Group = "orangefs"; LogsDirectory = "orangefs"; TimeoutStopSec = 120; };
      };
    };

    # Has the file system at /data, by the module `orangefs` of the kernel that it boots.
    client = { pkgs, ... }: {
      imports = [ base ];
      services.orangefs.client = { enable = true; fileSystems = [ ]; };
      environment.systemPackages = [ pkgs.fio ];

      systemd.services.orangefs-mount = {
        description = "OrangeFS at /data";
        wantedBy = [ "multi-user.target" ];
        requires = [ "orangefs-client.service" ];
        after = [ "orangefs-client.service" ];
        path = [ pkgs.jq pkgs.util-linux ];
        # Nodes boot in any order: it waits for the servers.
        script = ''
          server=$(jq -er 'first(.peers[] | select(.role == "server")).name' /run/compose/node.json)
          mkdir -p /data
          until mount -t pvfs2 "tcp://$server:3334/orangefs" /data; do sleep 1; done
        '';
        preStop = "umount --lazy /data";
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; TimeoutStartSec = "10min"; };
      };
    };
  };

  rolesDistribution = { server = 2; client = 2; };

  # For the builder nixos; NixOS Compose passes it over.
  compose.server = {
    ports = [ 3334 ];
    volumes.orangefs = { mount = "/var/lib/orangefs"; size = 2048; user = "orangefs"; group = "orangefs"; };
  };

  testScript = builtins.readFile ./test.py;
}
