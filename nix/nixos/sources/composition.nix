# A composition in the form of NixOS Compose, without NixOS Compose: a set or a function with roles (NixOS modules),
# testScript and rolesDistribution; and, which NixOS Compose passes over, `compose.ROLE` with ports, volumes and mayFail.
{ file, given, pin, system }:
let
  inherit (import ../../debian/lib.nix) lib helpers;

  setOf = f: names: builtins.foldl' (all: name: all // f name) { } names;
  target = if system == "" then builtins.currentSystem else system;

  # What a composition may ask for, with and without Nixpkgs.
  common = {
    system = target;
    setup = { params = given; };
    flavour = { name = "nixos"; description = "NixOS without NixOS Compose"; };
    helpers = helpers // {
      mapListToAttrs = setOf;
      mapAttrNamesToAttrs = f: set: setOf f (builtins.attrNames set);
      mapAttrsToAttrs = f: set: setOf (name: f name set.${name}) (builtins.attrNames set);
    };
  };
  # Roles are functions or sets that nobody looks into before they are built.
  standIns = common // {
    inherit lib;
    pkgs = { inherit lib; system = target; };
    modulesPath = "/no-nixpkgs/nixos/modules";
    nur = { repos = { }; };
    nodes = throw "what a composition says depends on 'nodes', which takes Nixpkgs";
  };
  real = common // rec {
    inherit nodes;
    pkgs = import pin.path { system = target; };
    inherit (pkgs) lib;
    modulesPath = "${toString pin.path}/nixos/modules";
    nur = throw "the builder 'nixos' has no NUR; use the builder 'nxc'";
  };

  # A function gets what it asks for by name, and everything if it takes any.
  apply = available: f:
    let
      missing = name: throw "the builder 'nixos' passes no argument '${name}' to a composition";
      lacking = lib.filterAttrs (name: hasDefault: !hasDefault && !(available ? ${name})) (builtins.functionArgs f);
    in
    if builtins.isFunction f then f (available // builtins.mapAttrs (name: _: missing name) lacking) else f;

  # Of all roles, their configurations, for modules and for the function.
  nodes = builtins.mapAttrs (_: configuration: configuration.config // { inherit (configuration) config; }) configurations;

  rolesOf = composition: composition.roles or composition.nodes or { };
  content = import (/. + file);
  described = apply standIns content;
  composition = apply real content;
  configurations = builtins.mapAttrs
    (_: module: import ../system.nix { inherit pin; system = target; modules = [ { _module.args.nodes = nodes; } module ]; })
    (rolesOf composition);
in
{
  # Which form the file has, whatever it is called.
  form =
    if !builtins.isAttrs described then "expression"
    else if described ? roles || described ? nodes then "composition"
    else if described ? meta || described ? defaults then "hive"
    else "expression";
  # Roles only by name: their bodies are not looked into.
  evaluation = removeAttrs described [ "nodes" "dockerPorts" "extraVolumes" "nspawnPorts" ] // {
    roles = builtins.mapAttrs (_: _: { }) (rolesOf described);
  };
  about = role: described.compose.${role} or { };
  inherit configurations;
}
