# Stands for NixOS' module system where roles are looked into. It has options of NixOS by name only, and no modules: a system
# is made of what the roles say, as JSON.
{ modules, system ? null, specialArgs ? { } }:
let
  inherit (builtins) all attrNames concatLists concatMap head isAttrs isFunction isList length zipAttrsWith;

  # null: whatever is below.
  options = {
    _module.args = null;
    boot = { extraModulePackages = null; kernelModules = null; kernelPackages = null; kernelPatches = null; };
    environment.systemPackages = null;
    networking.firewall.enable = null;
    nixpkgs = { config = null; hostPlatform = null; overlays = null; };
    services.orangefs.client = { enable = null; fileSystems = null; };
    system.nixos = null;
    systemd.services = null;
    users = { groups = null; users = null; };
  };
  unknown = path: declared: value:
    if declared == null then [ ]
    else concatMap
      (name: if declared ? ${name} then unknown "${path}${name}." declared.${name} value.${name} else [ "${path}${name}" ])
      (attrNames value);

  isWhole = value: !isAttrs value || value ? outPath || value ? callPackage;
  merge = path: values:
    if length values == 1 then head values
    else if all isList values then concatLists values
    else if all (value: !isWhole value) values then zipAttrsWith (name: merge "${path}.${name}") values
    else throw "The option `${path}' has conflicting definition values";

  # A module with all that it imports.
  load = module:
    let content = if isFunction module then module ({ inherit config pkgs; inherit (pkgs) lib; } // specialArgs) else module; in
    concatMap load (content.imports or [ ]) ++ [ (removeAttrs content [ "imports" ]) ];
  said = merge "" (concatMap load modules);

  pkgs = import ../.. {
    system = builtins.currentSystem;
    overlays = said.nixpkgs.overlays or [ ];
    config = said.nixpkgs.config or { };
  };
  chosen = said.boot.kernelPackages or pkgs.linuxKernel.packages.linux_6_12;
  config = said // {
    # As NixOS does it: what is configured of a kernel makes another one of it.
    boot = (said.boot or { }) // {
      kernelPackages = pkgs.linuxKernel.packagesFor (chosen.kernel.patched (said.boot.kernelPatches or [ ]));
    };
  };

  strange = unknown "" options said;
  system' = {
    kernel = config.boot.kernelPackages.kernel;
    modules = config.boot.extraModulePackages or [ ];
    packages = config.environment.systemPackages or [ ];
    services = config.systemd.services or { };
    orangefs = config.services.orangefs.client or { };
    inherit (config) networking;
  };
in
import ../../../stub_nixpkgs/nixos/lib/eval-config.nix {
  modules = [
    {
      stubText =
        if strange == [ ] then builtins.toJSON system'
        else throw "The option `${head strange}' does not exist";
    }
  ];
}
