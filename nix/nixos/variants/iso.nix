# An optical disk, or a USB stick, that boots the system with BIOS and UEFI; all but the disk is volatile.
{ config, lib, pkgs, modulesPath, ... }:
{
  imports = [ "${modulesPath}/installer/cd-dvd/iso-image.nix" ./hardware.nix ];

  compose = {
    disks = false;
    registration = "/nix/store/nix-path-registration";
    files.iso = { derivation = config.system.build.isoImage; file = "iso/*.iso"; };
  };
  isoImage.makeEfiBootable = lib.mkDefault true;
  isoImage.makeUsbBootable = lib.mkDefault pkgs.stdenv.hostPlatform.isx86;
  # No shell without a password.
  boot.initrd.systemd.emergencyAccess = lib.mkForce false;
  boot.loader.systemd-boot.enable = lib.mkForce false;
}
