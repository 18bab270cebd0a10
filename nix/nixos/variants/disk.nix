# The system is a squashfs on some disk: the first one, or a partition of a disk that boots by itself. All else is volatile.
{ config, lib, pkgs, modulesPath, ... }:
let
  inherit (lib) mkForce mkImageMediaOverride;
  inherit (pkgs.stdenv) hostPlatform;

  root = import ../root.nix { inherit lib pkgs config; format = "squashfs"; };
  kernel = { derivation = config.system.build.kernel; file = config.system.boot.loader.kernelFile; };
  initrd = { derivation = config.system.build.initialRamdisk; file = config.system.boot.loader.initrdFile; };

  # Another disk may carry another image: Proxmox copies one to a SATA drive before it takes the place of the old one.
  findRoot = ''
    SUBSYSTEM=="block", ENV{ID_FS_TYPE}=="squashfs", SYMLINK+="compose-root"
    SUBSYSTEM=="block", ENV{ID_FS_TYPE}=="squashfs", ENV{ID_BUS}=="ata", OPTIONS+="link_priority=-1"
  '';

  efi = hostPlatform.efiArch;
  raw = pkgs.runCommand "${config.compose.role}-raw"
    {
      nativeBuildInputs = with pkgs.buildPackages; [ dosfstools mtools util-linux ] ++ lib.optional hostPlatform.isx86 syslinux;
      kernel = "${kernel.derivation}/${kernel.file}";
      initrd = "${initrd.derivation}/${initrd.file}";
      inherit root;
      inherit (config.compose) cmdline;
      boot = "${config.systemd.package}/lib/systemd/boot/efi/systemd-boot${efi}.efi";
      fallback = "BOOT${lib.toUpper efi}.EFI";
      mbr = lib.optionalString hostPlatform.isx86 "${pkgs.buildPackages.syslinux}/share/syslinux/mbr.bin";
    }
    (builtins.readFile ../build/disk.sh);
  qcow2 = pkgs.runCommand "${config.compose.role}-qcow2" { nativeBuildInputs = [ pkgs.buildPackages.qemu-utils ]; } ''
    mkdir $out
    qemu-img convert -f raw -O qcow2 -o compat=1.1 ${raw}/disk.raw $out/disk.qcow2
  '';
in
{
  imports = [ "${modulesPath}/profiles/qemu-guest.nix" ];

  compose = {
    cmdline = "init=${config.system.build.toplevel}/init ${toString config.boot.kernelParams}";
    registration = "/nix/.ro-store/nix-path-registration";
    files = {
      inherit kernel initrd;
      root = { derivation = root; file = "root.squashfs"; };
      raw = { derivation = raw; file = "disk.raw"; };
      qcow2 = { derivation = qcow2; file = "disk.qcow2"; };
    };
  };

  fileSystems = {
    "/" = mkImageMediaOverride { device = "tmpfs"; fsType = "tmpfs"; options = [ "mode=0755" ]; };
    "/nix/.ro-store" = mkImageMediaOverride {
      device = "/dev/compose-root";
      fsType = "squashfs";
      options = [ "ro" ];
      neededForBoot = true;
    };
    "/nix/.rw-store" = mkImageMediaOverride {
      device = "tmpfs";
      fsType = "tmpfs";
      options = [ "mode=0755" ];
      neededForBoot = true;
    };
    "/nix/store" = mkImageMediaOverride {
      overlay = {
        lowerdir = [ "/nix/.ro-store/nix/store" ];
        upperdir = "/nix/.rw-store/store";
        workdir = "/nix/.rw-store/work";
      };
      # The option says it itself, but not in every release.
      depends = [ "/nix/.ro-store" "/nix/.rw-store" ];
      neededForBoot = true;
    };
  };
  # It stands in /etc/fstab: without the link, systemd would wait for the device that is mounted already, and give up.
  services.udev.extraRules = findRoot;
  boot = {
    initrd.services.udev.rules = findRoot;  # in both kinds of initrd
    initrd.availableKernelModules = [ "squashfs" "overlay" "ahci" "ata_piix" "nvme" "sd_mod" "virtio_blk" "virtio_pci" "virtio_scsi" ];
    initrd.kernelModules = [ "loop" "overlay" ];
    kernelParams = [ "console=tty0" "console=ttyS0" "panic=10" ];
    # The disk brings its own.
    loader.grub.enable = mkForce false;
    loader.systemd-boot.enable = mkForce false;
  };
}
