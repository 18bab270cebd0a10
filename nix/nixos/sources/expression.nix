# A Nix file with a set of NixOS configurations, or of NixOS modules; or a function that gives one. A function may ask for
# nixpkgs (a path), pkgs, lib and system.
{ file, nixpkgs, pin, system }:
let
  target = if system == "" then builtins.currentSystem else system;
  available = rec {
    nixpkgs = pin.path;
    system = target;
    pkgs = import pin.path { system = target; };
    inherit (pkgs) lib;
  };
  content = import (/. + file);
  all =
    if builtins.isFunction content
    then content (builtins.intersectAttrs (builtins.functionArgs content) available)
    else content;
  evaluate = _: value:
    if builtins.isAttrs value && value ? config && value ? extendModules then value
    else import ../system.nix { inherit pin; system = target; modules = [ value ]; };
in
{
  configurations = builtins.mapAttrs evaluate all;
  described = builtins.mapAttrs (_: _: { }) all;
}
