# Entry point of the nixos builder. Everything but `evaluation` needs Nixpkgs, or what the composition itself fetches.
#   evaluation    what is known of a composition in the form of NixOS Compose without Nixpkgs
#   formOf        form of a file whose name does not tell it: composition, hive or expression
#   described     by name of the NixOS configurations of a flake, a hive or an expression: tags and machine, if it says any;
#   describedWhole  with Nixpkgs where that is needed
# and for the roles in `only`:
#   images        by role: identity of the image in the formats asked for; derivation, with its output, of its bundle: image.json
#                 and links to the files of the formats
#   parts         by role: the derivations, but for packages, that the image in these formats is made of
{ directory           # of the composition
, source              # which form: composition, hive, flake or expression
, file ? ""           # that has it; for a flake: its directory
, parameters ? "{}"   # JSON
, nixpkgs ? ""        # option of that name; empty: what the composition pins
, system ? ""         # option of that name; empty: that of this host, or what a configuration says itself
, output ? ""         # option of that name
, formats ? "[]"      # JSON: list of formats, all of one variant
, only ? "[]"         # JSON: list of roles
, roles ? "{}"        # JSON: role → ports, volumes and mayFail, where they stand beside the configurations
}:
let
  given = builtins.fromJSON parameters;
  beside = builtins.fromJSON roles;

  pin = import ./nixpkgs.nix { inherit nixpkgs directory; };

  forms = {
    composition = import ./sources/composition.nix { inherit file given pin system; };
    hive = import ./sources/hive.nix { hive = import (/. + file); inherit nixpkgs pin system; };
    flake = import ./sources/flake.nix { inherit file nixpkgs pin system output; };
    expression = import ./sources/expression.nix { inherit file nixpkgs pin system; };
  };
  form = forms.${source};

  image = role: import ./images.nix {
    inherit role;
    configuration = form.configurations.${role};
    formats = builtins.fromJSON formats;
    about = (form.about or (_: { })) role // (beside.${role} or { });
  };
  made = builtins.listToAttrs (map (role: { name = role; value = image role; }) (builtins.fromJSON only));
in
{
  inherit (form) evaluation described;
  describedWhole = form.describedWhole or form.described;
  formOf = forms.composition.form;
  images = builtins.mapAttrs
    (_: image: { inherit (image) identity; derivation = image.bundle.drvPath; output = image.bundle.outPath; })
    made;
  parts = builtins.mapAttrs (_: image: image.parts) made;
}
