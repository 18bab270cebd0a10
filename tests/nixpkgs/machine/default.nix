# A configuration that was written for one machine, with what such have: disks, a boot loader, its own network.
{ pkgs, ... }:
{
  web = {
    boot.loader.systemd-boot.enable = true;
    boot.kernelPackages = pkgs.linuxPackages_latest;
    boot.initrd.luks.devices.home.device = "/dev/sda3";
    fileSystems = {
      "/" = { device = "/dev/disk/by-uuid/0f5b3d68-5d3c-4a28-8f5e-1d3a5d7d5b0a"; fsType = "ext4"; };
      "/boot" = { device = "/dev/disk/by-uuid/1A2B-3C4D"; fsType = "vfat"; };
      "/home" = { device = "/dev/mapper/home"; fsType = "xfs"; };
    };
    swapDevices = [ { device = "/dev/sda2"; } ];

    networking = {
      hostName = "web1";
      domain = "example.org";
      networkmanager.enable = true;
      interfaces.eth0.ipv4.addresses = [ { address = "10.0.0.5"; prefixLength = 24; } ];
      defaultGateway = "10.0.0.1";
    };
    services.openssh = {
      enable = true;
      settings.PermitRootLogin = "yes";
      extraConfig = "Match User bob\n  X11Forwarding no\n";
    };
    services.nginx.enable = true;
    system.stateVersion = "24.11";
  };
}
