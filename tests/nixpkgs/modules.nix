# What a client of a file system boots and loads, and for which kernel that was built.
{ nixpkgs, composition, kernel }:
let
  form = import ../../nix/nixos/sources/composition.nix {
    file = composition;
    given = { inherit kernel; };
    pin = { path = /. + nixpkgs; revision = null; };
    system = "x86_64-linux";
  };
  configuration = form.configurations.client.extendModules { modules = [ ../../nix/nixos/module.nix ../../nix/nixos/variants/disk.nix ]; };
  inherit (configuration) config lib;
  booted = config.boot.kernelPackages.kernel;
in
{
  client = {
    kernel = "${booted.dev}";
    version = booted.modDirVersion;
    modules = map (module: module.makeFlags) config.boot.extraModulePackages;
    loaded = config.boot.kernelModules;
    failed = map (each: each.message) (lib.filter (each: !each.assertion) config.assertions);
  };
}
