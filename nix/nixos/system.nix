# A NixOS configuration out of modules.
{ pin, modules, system ? "", specialArgs ? { } }:
let
  known = { lib, ... }: {
    nixpkgs = if system == "" then { } else { hostPlatform = lib.mkDefault system; };
    system.nixos = if pin.revision == null then { } else {
      revision = lib.mkDefault pin.revision;
      versionSuffix = lib.mkDefault ".${builtins.substring 0 7 pin.revision}";
    };
  };
in
import "${toString pin.path}/nixos/lib/eval-config.nix" {
  # Not the host's: modules say it.
  system = if system == "" then builtins.currentSystem else null;
  modules = modules ++ [ known ];
  inherit specialArgs;
}
