# What every node needs to know and do, in NixOS: it applies the node document before services start, and lets in only who
# the document names. Nothing of one node is in here.
{ config, lib, pkgs, ... }:
let
  cfg = config.compose;
  inherit (lib) mkDefault mkForce mkIf mkOption types;
  # Wins over what configurations only propose (mkDefault, as generated ones do), and gives way to what they say.
  weak = lib.mkOverride 900;

  programs = [ pkgs.coreutils pkgs.findutils pkgs.inetutils pkgs.jq pkgs.kmod pkgs.util-linux config.systemd.package ];

  # The same scripts as in images of Debian packages, with the places of their files and programs.
  scripts = ../debian/image/usr/lib/compose;
  node = "${scripts}/node.jq";
  volumes = pkgs.writeText "volumes" (lib.concatStrings (lib.mapAttrsToList
    (name: volume: lib.concatStringsSep "\t" [ name volume.mount volume.user volume.group volume.mode (lib.boolToString volume.keep) ] + "\n")
    cfg.volumes));
  script = name: pkgs.writeScript name (
    "#!${pkgs.runtimeShell}\nexport PATH=${lib.makeBinPath programs}\n"
    + builtins.replaceStrings
      [ "/usr/lib/compose/node.jq" "/usr/lib/compose/volumes" "/usr/lib/compose/renumber" ]
      [ "${node}" "${volumes}" "${pkgs.perl}/bin/perl ${scripts}/renumber" ]
      (builtins.readFile (scripts + "/${name}"))
  );
  applyNode = script "apply-node";

  early = {
    wantedBy = [ "sysinit.target" ];
    before = [ "sysinit.target" "shutdown.target" ];
    conflicts = [ "shutdown.target" ];
    unitConfig.DefaultDependencies = false;
    serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
  };

  volume = types.submodule {
    options = {
      mount = mkOption { type = types.str; description = "Where it is mounted."; };
      size = mkOption { type = types.ints.positive; default = 1024; description = "MiB, where the platform makes a disk for it."; };
      user = mkOption { type = types.str; default = "root"; description = "Owner."; };
      group = mkOption { type = types.str; default = "root"; description = "Group."; };
      mode = mkOption { type = types.str; default = "0755"; description = "Mode, octal."; };
      keep = mkOption { type = types.bool; default = true; description = "Whether it outlives a boot; else it is emptied at each."; };
    };
  };
in
{
  options.compose = {
    role = mkOption { type = types.str; default = ""; description = "Role that the system is named after; empty: it keeps its name."; };
    ports = mkOption { type = types.listOf types.port; default = [ ]; description = "TCP ports that a node must answer on."; };
    volumes = mkOption { type = types.attrsOf volume; default = { }; description = "Data volumes, by name."; };
    # For the variants:
    disks = mkOption { type = types.bool; default = true; internal = true; description = "Volumes are disks."; };
    cmdline = mkOption { type = types.str; default = ""; internal = true; description = "Kernel command line."; };
    files = mkOption { type = types.attrsOf types.raw; default = { }; internal = true; description = "Format → derivation, and file in it."; };
    registration = mkOption { type = types.str; default = "/nix-path-registration"; internal = true; description = "What is in the store."; };
  };

  config = {
    system.name = mkIf (cfg.role != "") (weak cfg.role);
    system.stateVersion = mkDefault lib.trivial.release;

    # --- the node document
    systemd.services.compose-node = lib.recursiveUpdate early {
      description = "Apply the node document";
      wants = [ "network-pre.target" ];
      after = [ "systemd-remount-fs.service" "systemd-sysusers.service" "userborn.service" ];
      before = early.before ++ [ "network-pre.target" "systemd-networkd.service" ];
      serviceConfig = {
        # Accounts as they are at boot: drift is looked for in what they are later.
        ExecStart = [ applyNode "-${pkgs.coreutils}/bin/install -m 0644 /etc/passwd /run/compose/passwd" ];
        Nice = -20;
        TimeoutStartSec = 60;
        StandardError = "journal+console";
      };
    };
    # Where `apply-node refresh` is looked for in a running node.
    systemd.tmpfiles.rules = [ "L+ /usr/lib/compose/apply-node - - - - ${applyNode}" ]
      ++ lib.optionals (!cfg.disks) (lib.mapAttrsToList (_: v: "d ${v.mount} ${v.mode} ${v.user} ${v.group} -") cfg.volumes);
    # Files of the node's own instead of links into the store: the document is written to them.
    environment.etc.hosts.mode = "0644";
    environment.etc.hostname = mkIf (config.networking.hostName != "") { mode = "0644"; };
    networking = {
      hostName = weak "";
      useNetworkd = weak true;
      useDHCP = weak false;
      useHostResolvConf = weak false;  # systemd-resolved comes with networkd, and cannot have it
    };
    networking.networkmanager.enable = mkForce false;  # would take the interfaces for its own
    systemd.network.enable = mkForce true;
    systemd.network.wait-online.anyInterface = weak true;

    # --- who may log in
    services.openssh = {
      enable = mkForce true;
      hostKeys = mkForce [ ];
      authorizedKeysFiles = [ "/run/compose/ssh/authorized_keys/%u" ];
      settings = {
        PermitRootLogin = mkForce "prohibit-password";
        PasswordAuthentication = mkForce false;
        KbdInteractiveAuthentication = mkForce false;
      };
      # First: what follows a Match of the configuration would be part of it.
      extraConfig = lib.mkBefore ''
        HostKey /run/compose/ssh/host_key
        HostCertificate /run/compose/ssh/host_key-cert.pub
      '';
    };
    users.allowNoPasswordLogin = weak true;

    # --- data volumes
    fileSystems = mkIf (cfg.disks && !config.boot.isContainer) (lib.mapAttrs'
      (name: volume: lib.nameValuePair volume.mount {
        device = "/dev/disk/by-id/virtio-${name}";
        fsType = "ext4";
        autoFormat = true;
        autoResize = true;
        options = [ "x-systemd.device-timeout=infinity" "x-systemd.mount-timeout=infinity" ];  # the deployment's deadline counts
      })
      cfg.volumes);
    systemd.services.compose-volumes = mkIf (cfg.volumes != { } && cfg.disks) (lib.recursiveUpdate early {
      description = "Set the owners of data volumes";
      after = [ "local-fs.target" "systemd-sysusers.service" "userborn.service" ];
      # Nobody may start who could get what is another's.
      unitConfig = early.unitConfig // { OnFailure = "emergency.target"; OnFailureJobMode = "replace-irreversibly"; };
      serviceConfig = {
        ExecStart = script "own-volumes";
        TimeoutStartSec = "infinity";
        StandardOutput = "journal+console";
        StandardError = "journal+console";
      };
    });

    # --- the store, as far as Nix is used on the node
    systemd.services.compose-store = mkIf config.nix.enable {
      description = "Tell Nix what is in the store";
      wantedBy = [ "multi-user.target" ];
      before = [ "nix-daemon.socket" "nix-daemon.service" "shutdown.target" ];
      after = [ "local-fs.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig = { DefaultDependencies = false; ConditionPathExists = cfg.registration; };
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      environment.NIX_REMOTE = "local";
      script = "${config.nix.package}/bin/nix-store --load-db < ${cfg.registration}";
    };
  };
}
