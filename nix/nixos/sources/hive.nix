# A hive of colmena: nodes are NixOS modules beside `meta` and `defaults`. https://colmena.cli.rs/unstable/reference/meta.html
{ hive, nixpkgs, pin, system }:
let
  meta = hive.meta or hive.network or { };
  nodes = removeAttrs hive [ "meta" "network" "defaults" "__schema" ];

  # meta.nixpkgs is a set of packages, a path, or a function that gives one; it is the hive's own pin.
  ownPath = value:
    if builtins.isFunction value then ownPath (value { })
    else if builtins.isAttrs value then value.path or value.outPath
    else value;
  pathFor = name:
    let own = meta.nodeNixpkgs.${name} or meta.nixpkgs or null; in
    if nixpkgs == "" && own != null then { path = ownPath own; revision = null; } else pin;

  # What only says how colmena deploys.
  deployment = { lib, ... }: {
    options.deployment = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; internal = true; };
  };

  configurations = builtins.mapAttrs
    (name: module: import ../system.nix {
      pin = pathFor name;
      inherit system;
      modules = [ (hive.defaults or { }) module deployment ];
      specialArgs = { inherit name; nodes = configurations; }
        // (meta.specialArgs or { }) // (meta.nodeSpecialArgs.${name} or { });
    })
    nodes;
in
{
  inherit configurations;
  names = builtins.attrNames nodes;
}
