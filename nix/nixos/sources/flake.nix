# A flake: its nixosConfigurations; without these, its colmena hive.
{ file, nixpkgs, pin, system }:
let
  flake = builtins.getFlake file;
  outputs =
    if flake ? nixosConfigurations then {
      names = builtins.attrNames flake.nixosConfigurations;
      configurations = flake.nixosConfigurations;
    }
    else if flake ? colmena then import ./hive.nix { hive = flake.colmena; inherit nixpkgs pin system; }
    else throw "the flake ${file} has neither nixosConfigurations nor colmena";
in
outputs
