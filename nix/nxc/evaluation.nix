# What is known of a NixOS Compose composition without Nixpkgs: names of roles, counts, test script, ports of containers.
# Roles are functions or sets that nobody looks into, so stand-ins for the other arguments are enough; what needs more
# than these fails with the name of what it missed, and the caller falls back to a full evaluation.
#   setup          content of setup.toml, with the variant and the parameters merged into it as NixOS Compose does
#   compositions   by name: roles (a list of names), rolesDistribution, testScript, dockerPorts
#   declared       the file that the flake says the compositions are in: itself, if they stand there; empty: it says none
{ file ? ""              # composition.nix, compositions.nix, a directory with default.nix; or the flake
, flake ? ""             # flake.nix
, name ? "composition"   # of the composition, where the file has only one
, flavour ? "vm"
, parameters ? "{}"      # JSON: go over those of setup.toml
, setupFile ? ""         # setup.toml; empty: there is none
, variant ? ""           # of setup.toml; empty: the one that it selects itself
}:
let
  inherit (import ../debian/lib.nix) lib helpers;
  given = builtins.fromJSON parameters;

  raw = if setupFile == "" then { } else builtins.fromTOML (builtins.readFile (/. + setupFile));
  selected = if variant != "" then variant else raw.project.selected or "";
  chosen =
    if selected == "" then raw
    else if raw ? ${selected} then lib.recursiveUpdate raw raw.${selected}
    else throw "setup.toml has no variant '${selected}'";
  # Without [params], NixOS Compose drops what is to override it without a word.
  setup = chosen // {
    params =
      if chosen ? params then chosen.params // (chosen.override-params or { }) // given
      else if setupFile == "" || given == { } then given
      else throw "setup.toml has no table [params], so parameters would not reach the composition";
  };

  kinds = {
    vm = { distribution = "all-in-one"; };
    vm-ramdisk = { distribution = "all-in-one"; type = "ramdisk"; };
    g5k-ramdisk = { distribution = "all-in-one"; type = "ramdisk"; };
    g5k-nfs-store = { distribution = "all-in-one"; type = "remote-store"; };
    g5k-image = { distribution = "all-in-one"; type = "tarball"; };
  };

  setOf = f: names: builtins.foldl' (all: name: all // f name) { } names;
  available = {
    inherit lib setup;
    pkgs = { inherit lib; system = builtins.currentSystem; };
    system = builtins.currentSystem;
    modulesPath = "/no-nixpkgs/nixos/modules";
    nur = { repos = { }; };
    nodes = throw "what a composition says depends on 'nodes', which takes Nixpkgs";
    flavour = { name = flavour; description = flavour; image = kinds.${flavour} or { }; }
      // (if builtins.elem flavour [ "vm" "vm-ramdisk" ] then { vm = true; } else { });
    helpers = helpers // {
      mapListToAttrs = setOf;
      mapAttrNamesToAttrs = f: set: setOf f (builtins.attrNames set);
      mapAttrsToAttrs = f: set: setOf (name: f name set.${name}) (builtins.attrNames set);
    };
  };

  # A function gets what it asks for by name, and everything if it takes any.
  apply = f:
    let
      asked = builtins.functionArgs f;
      missing = name: throw "a composition of NixOS Compose gets no argument '${name}'";
      lacking = lib.filterAttrs (name: hasDefault: !hasDefault && !(available ? ${name})) asked;
    in
    if builtins.isFunction f then f (available // builtins.mapAttrs (name: _: missing name) lacking) else f;

  isFile = value: builtins.isPath value || builtins.isString value;
  load = value: if isFile value then import value else value;
  content = if file == flake then said else load (/. + file);

  # What the flake passes to nxc.lib.compose. Its inputs are stand-ins: that function gives back what it is passed.
  written = import (/. + flake);
  standIn = { outPath = "/no-input"; lib = lib // { compose = arguments: { inherit arguments; }; inherit eachSystem eachDefaultSystem; }; };
  # Of flake-utils.
  eachSystem = systems: f: builtins.mapAttrs (_: value: { ${builtins.head systems} = value; }) (f (builtins.head systems));
  eachDefaultSystem = eachSystem [ builtins.currentSystem ];
  inputs = builtins.mapAttrs (_: _: standIn) (written.inputs or { } // builtins.functionArgs written.outputs)
    // { self = standIn // { outPath = builtins.dirOf flake; inherit inputs; }; };
  calls = builtins.filter (value: value ? arguments)
    (builtins.attrValues ((written.outputs inputs).packages or { }));
  arguments = if calls == [ ] then { } else (builtins.head calls).arguments;
  said = arguments.compositions or arguments.composition or null;
  isOne = value: builtins.isFunction value || value ? roles || value ? nodes;

  describe = value:
    let composition = apply (load value); in {
      roles = builtins.attrNames (composition.roles or composition.nodes or (throw "a composition has no 'roles'"));
      rolesDistribution = composition.rolesDistribution or { };
      testScript = composition.testScript or "";
      dockerPorts = composition.dockerPorts or { };
    };
in
{
  inherit setup;
  declared = if said == null then "" else if isFile said then toString said else flake;
  compositions = builtins.mapAttrs (_: describe) (if isOne content then { ${name} = content; } else content);
}
