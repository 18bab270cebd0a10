# BeeGFS for Nixpkgs, of the source that flake.lock pins as the input `beegfs` of flake.nix.
final: _:
let
  pinned =
    if builtins.pathExists ./flake.lock then builtins.fromJSON (builtins.readFile ./flake.lock)
    else throw "no source of BeeGFS is pinned: ${toString ./.} has no flake.lock, which `nix flake lock` writes";
  input = pinned.nodes.${pinned.root}.inputs.beegfs;
in
{
  beegfs = final.callPackage ./package.nix { source = builtins.fetchTree pinned.nodes.${input}.locked; };
}
