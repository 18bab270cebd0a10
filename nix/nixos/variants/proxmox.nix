# A backup that Proxmox restores as a machine: its disk is that of Nixpkgs, written to as long as the machine lives.
{ config, lib, modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/proxmox-image.nix" "${modulesPath}/profiles/qemu-guest.nix" ];

  compose.files.vma = { derivation = config.system.build.VMA; file = "vzdump-qemu-*.vma.zst"; };

  # The node document says what cloud-init would.
  proxmox.cloudInit.enable = lib.mkDefault false;
  fileSystems."/" = lib.mkImageMediaOverride { device = "/dev/disk/by-label/nixos"; autoResize = true; fsType = "ext4"; };
  boot.loader.grub.enable = lib.mkForce true;
  boot.loader.systemd-boot.enable = lib.mkForce false;
}
