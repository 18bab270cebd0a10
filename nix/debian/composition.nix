# Reads a composition.nix in the form of NixOS Compose and gives its attributes; roles and their values are plain data.
{ composition, parameters }:
let
  inherit (import ./lib.nix) lib helpers;

  noNixpkgs = what: throw "'${what}' was used, but the debian builder has no Nixpkgs: Debian packages are named by strings";

  available = {
    inherit lib helpers parameters;
    setup.params = parameters;
    flavour.name = "debian";
    system = builtins.currentSystem;
    pkgs = noNixpkgs "pkgs";
    modulesPath = noNixpkgs "modulesPath";
    nur = noNixpkgs "nur";
  };

  # Gives a function what it asks for by name; what is not available fails only when it is used.
  apply = f:
    if builtins.isFunction f
    then
      f (available // builtins.mapAttrs
        (name: _: available.${name} or (throw "the debian builder passes no argument '${name}' to a composition"))
        (lib.filterAttrs (name: hasDefault: available ? ${name} || !hasDefault) (builtins.functionArgs f)))
    else f;

  read = apply (import (/. + composition));

  # Packages and archives of the composition's own are named here, and not read: the lock has what they are.
  named = role: if !builtins.isAttrs role then role else role // builtins.intersectAttrs role {
    packages = each path role.packages;
    archives = each (each path) role.archives;
  };
  each = f: value:
    if builtins.isAttrs value then builtins.mapAttrs (_: f) value
    else if builtins.isList value then map f value
    else value;
  path = value: if builtins.isPath value then toString value else value;
in
read // { roles = builtins.mapAttrs (_: role: named (apply role)) (read.roles or { }); }
