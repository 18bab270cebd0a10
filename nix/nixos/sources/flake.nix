# A flake: its nixosConfigurations, or the nodes of its colmena hive. `output` says which, where it has both.
{ file, nixpkgs, pin, system, output }:
let
  flake = builtins.getFlake file;
  outputs = {
    nixosConfigurations = {
      configurations = flake.nixosConfigurations;
      described = builtins.mapAttrs (_: _: { }) flake.nixosConfigurations;
    };
    colmena = import ./hive.nix { hive = flake.colmena; inherit nixpkgs pin system; };
  };
  there = builtins.filter (name: flake ? ${name}) (builtins.attrNames outputs);
  chosen =
    if output != "" then
      (if flake ? ${output} then output else throw "the flake ${file} has no output '${output}'")
    else if there == [ ] then throw "the flake ${file} has neither nixosConfigurations nor colmena"
    else if builtins.length there > 1 then
      throw "the flake ${file} has both nixosConfigurations and colmena: say which with the builder's option 'output'"
    else builtins.head there;
in
outputs.${chosen}
