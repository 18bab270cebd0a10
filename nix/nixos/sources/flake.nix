# A flake: its nixosConfigurations, or the nodes of its hive, which newer versions of colmena have evaluated already.
# `output` says which, where it has both.
{ file, nixpkgs, pin, system, output }:
let
  flake = builtins.getFlake file;
  outputs = {
    nixosConfigurations = {
      configurations = flake.nixosConfigurations;
      described = builtins.mapAttrs (_: _: { }) flake.nixosConfigurations;
    };
    colmena =
      if flake ? colmena then import ./hive.nix { hive = flake.colmena; inherit nixpkgs pin system; }
      else let nodes = import ./nodes.nix flake.colmenaHive.nodes; in nodes // { described = nodes.describedWhole; };
  };
  has = name: flake ? ${name} || (name == "colmena" && flake ? colmenaHive);
  there = builtins.filter has (builtins.attrNames outputs);
  chosen =
    if output != "" then
      (if has output then output else throw "the flake ${file} has no output '${output}'")
    else if there == [ ] then throw "the flake ${file} has neither nixosConfigurations nor colmena"
    else if builtins.length there > 1 then
      throw "the flake ${file} has both nixosConfigurations and colmena: say which with the builder's option 'output'"
    else builtins.head there;
in
outputs.${chosen}
