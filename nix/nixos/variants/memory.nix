# The whole system is in the initrd: for kexec from any Linux, and for network boot.
{ config, lib, pkgs, modulesPath, ... }:
let
  inherit (config.system.build) kernel netbootRamdisk;
in
{
  imports = [ "${modulesPath}/installer/netboot/netboot.nix" ./hardware.nix ];

  compose = {
    disks = false;
    cmdline = "init=${config.system.build.toplevel}/init ${toString config.boot.kernelParams}";
    registration = "/nix/store/nix-path-registration";
    files.kexec = {
      derivation = pkgs.runCommand "${config.compose.role}-kexec" { inherit (config.compose) cmdline; } ''
        mkdir $out tree
        cp -L ${kernel}/${config.system.boot.loader.kernelFile} tree/kernel
        cp -L ${netbootRamdisk}/initrd tree/initrd
        printf '%s\n' "$cmdline" > tree/cmdline
        cp ${../build/kexec-boot} tree/kexec-boot
        chmod 0755 tree/kexec-boot
        tar --create --file $out/kexec.tar --directory tree --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner \
            kernel initrd cmdline kexec-boot
      '';
      file = "kexec.tar";
    };
  };
  boot.loader.grub.enable = lib.mkForce false;
}
