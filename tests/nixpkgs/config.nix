# What the modules of the collection make of NixOS, where it matters at boot.
{ nixpkgs, variant, initrd }:
let
  inherit (import "${nixpkgs}/nixos/lib/eval-config.nix" {
    modules = [
      ../../nix/nixos/module.nix
      (../../nix/nixos/variants + "/${variant}.nix")
      {
        nixpkgs.hostPlatform = "x86_64-linux";
        boot.initrd.systemd.enable = initrd == "systemd";
        compose.volumes.shared.mount = "/srv/shared";
      }
    ];
  }) config lib;
in
{
  config = {
    udev = config.services.udev.extraRules;
    udevOfInitrd = config.boot.initrd.services.udev.rules;
    initrdModules = config.boot.initrd.availableKernelModules ++ config.boot.initrd.kernelModules;
    fileSystems = lib.mapAttrs (_: fs: "${fs.device} ${fs.fsType}") config.fileSystems;
    tmpfiles = config.systemd.tmpfiles.rules;
    sshd = config.services.openssh.extraConfig;
    hostKeys = config.services.openssh.hostKeys;
    failed = map (each: each.message) (lib.filter (each: !each.assertion) config.assertions);
  };
}
