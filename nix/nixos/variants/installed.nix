# The system unpacked to a disk, as Kadeploy does it: its post-installation writes to the file system before the first boot.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkForce mkImageMediaOverride;
in
{
  imports = [ ./hardware.nix ];

  compose = {
    disks = false;
    cmdline = "init=${config.system.build.toplevel}/init rw ${toString config.boot.kernelParams}";
    files.tar = {
      derivation = import ../root.nix {
        inherit lib pkgs config;
        format = "tar";
        kernel = "${config.system.build.kernel}/${config.system.boot.loader.kernelFile}";
        initrd = "${config.system.build.initialRamdisk}/${config.system.boot.loader.initrdFile}";
      };
      file = "root.tar";
    };
  };

  fileSystems."/" = mkImageMediaOverride { device = "/dev/disk/by-partlabel/KDPL_DEPLOY_disk0"; fsType = "ext4"; };
  environment.etc.fstab.mode = "0644";
  # Kadeploy boots the kernel in the archive itself.
  boot.loader.grub.enable = mkForce false;
  boot.loader.systemd-boot.enable = mkForce false;
  # A closed port has to say so: Kadeploy takes silence for a node that is still booting.
  networking.firewall.rejectPackets = lib.mkDefault true;
}
