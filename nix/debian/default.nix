# Entry point of the debian builder.
#   evaluation   what is known of a composition without building it; by role: identity, and store path of the bundle, which
#                has image.json and links to the requested formats, if there are any
#   images       by role: its derivations (layer, root, bundle, differences)
{ composition          # directory
, name                 # of the composition
, lock ? ""            # file; empty: there is none
, parameters ? "{}"    # JSON
, mirrors ? "{}"       # JSON: archive → base URL
, formats ? "[]"       # JSON
, surroundings ? ""    # of a second build: makes it another one than the last
}:
let
  described = import ./composition.nix {
    composition = composition + "/composition.nix";
    parameters = builtins.fromJSON parameters;
  };
  locked = if lock == "" then { roles = { }; } else builtins.fromJSON (builtins.readFile (/. + lock));
  derive = import ./images.nix {
    inherit name surroundings;
    lock = locked;
    mirrors = builtins.fromJSON mirrors;
    formats = builtins.fromJSON formats;
  };
  all = builtins.mapAttrs (role: attributes: derive role (import ./follow attributes)) described.roles;
  lockedOnly = f: builtins.mapAttrs (role: image: if locked.roles ? ${role} then f image else null) all;
in
{
  evaluation = described // {
    identities = lockedOnly (image: image.identity);
    paths = if formats == "[]" then { } else lockedOnly (image: image.bundle.outPath);
  };
  images = all;
}
