{
  description = "OrangeFS";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";
    nxc.url = "git+https://gitlab.inria.fr/nixos-compose/nixos-compose.git";
    nxc.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs = { self, nixpkgs, nxc }:
    let system = "x86_64-linux"; in {
      packages.${system} = nxc.lib.compose {
        inherit nixpkgs system;
        composition = ./composition.nix;
        # What NixOS Compose adds to the initrd is for the scripted one, which is not the default of NixOS from 26.05 on.
        extraConfigurations = [{ boot.initrd.systemd.enable = false; }];
      };
      devShells.${system}.default = nxc.devShells.${system}.nxcShell;
    };
}
