# For machines that are not virtual, and whose network the node document may not describe.
{ lib, ... }:
{
  boot.initrd.availableKernelModules = [
    "ahci" "nvme" "sd_mod" "megaraid_sas" "mpt3sas" "mpi3mr"
    # To try them in virtual ones.
    "virtio_blk" "virtio_pci" "virtio_scsi"
  ];
  boot.kernelParams = [ "console=tty0" "console=ttyS0,115200" ];
  hardware.enableRedistributableFirmware = lib.mkDefault true;
  # After the files that the node document makes, 10-compose-*.
  systemd.network.networks."90-compose" = {
    matchConfig.Type = "ether";
    networkConfig.DHCP = "yes";
  };
}
