# What `nxc.lib.compose` of NixOS Compose itself makes of an example.
{ nixpkgs, nxc, composition, flavour, extra }:
let
  system = "x86_64-linux";
  pkgs = import nixpkgs { inherit system; };
  compose = import "${nxc}/compose.nix" {
    inherit system;
    nixpkgs = { inherit (pkgs) lib; legacyPackages.${system} = pkgs; outPath = nixpkgs; };
    composition = /. + composition;
    # As in the flake.nix of the examples.
    extraConfigurations = [ { boot.initrd.systemd.enable = false; } ] ++ (if extra == "" then [ ] else [ extra ]);
  };
in
{ info = compose."composition::${flavour}"; }
