# Entry point of the debian builder.
#   evaluation   what is known of a composition without building it
#   bundles      by role: image.json and links to the requested formats
#   paths        by role: store path of the bundle
#   roots, disks, tars  by role: what bundles are made of
{ composition          # directory
, name                 # of the composition
, lock ? ""            # file; empty: there is none
, parameters ? "{}"    # JSON
, mirrors ? "{}"       # JSON: archive → base URL
, formats ? "[]"       # JSON
}:
let
  described = import ./composition.nix {
    composition = composition + "/composition.nix";
    parameters = builtins.fromJSON parameters;
  };
  locked = if lock == "" then { roles = { }; } else builtins.fromJSON (builtins.readFile (/. + lock));
  images = import ./images.nix {
    inherit name;
    lock = locked;
    mirrors = builtins.fromJSON mirrors;
    formats = builtins.fromJSON formats;
  };
  all = builtins.mapAttrs images described.roles;
  each = attribute: builtins.mapAttrs (_: image: image.${attribute}) all;
in
{
  evaluation = described // {
    identities = builtins.mapAttrs
      (role: image: if locked.roles ? ${role} then image.identity else null)
      all;
  };
  bundles = each "bundle";
  paths = builtins.mapAttrs (_: image: image.bundle.outPath) all;
  roots = each "root";
  disks = each "raw";
  tars = each "tar";
}
