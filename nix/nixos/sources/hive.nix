# A hive of colmena: nodes are NixOS modules, or lists of them, beside `meta` and `defaults`.
# https://colmena.cli.rs/unstable/reference/meta.html
{ hive, nixpkgs, pin, system }:
let
  described = if builtins.isFunction hive || hive ? __functor then hive { } else hive;
  meta = described.meta or described.network or { };
  nodes = removeAttrs described [ "meta" "network" "defaults" "__schema" ];
  listOf = value: if builtins.isList value then value else [ value ];

  # meta.nixpkgs is a set of packages, a path, or a function that gives one; it is the hive's own pin.
  own = name: given (meta.nodeNixpkgs.${name} or meta.nixpkgs or null);
  given = value: if builtins.isFunction value then given (value { }) else value;
  pinFor = name:
    let value = own name; in
    if nixpkgs != "" || value == null then pin
    else { path = if builtins.isAttrs value then value.path or value.outPath else value; revision = null; };
  # Of a set of packages, what it was made with is meant, too.
  madeWith = name: { lib, ... }:
    let value = own name; in
    {
      nixpkgs =
        if builtins.isAttrs value && value ? path
        then { overlays = lib.mkBefore (value.overlays or [ ]); config = lib.mkBefore (value.config or { }); }
        else { };
    };

  # What only says how colmena deploys, with the defaults that other modules may ask for.
  deployment = { name, lib, ... }:
    let
      inherit (lib) mkOption types;
      option = type: default: mkOption { inherit type default; };
    in
    {
      options.deployment = mkOption {
        default = { };
        internal = true;
        type = types.submodule {
          freeformType = types.lazyAttrsOf types.anything;
          options = {
            targetHost = option (types.nullOr types.str) name;
            targetPort = option (types.nullOr types.ints.unsigned) null;
            targetUser = option (types.nullOr types.str) "root";
            tags = option (types.listOf types.str) [ ];
            keys = option (types.lazyAttrsOf types.anything) { };
          };
        };
      };
    };

  # No secret is in an image, and none that is meant to be on a node is left out of it without a word.
  withoutKeys = name: configuration:
    let keys = builtins.attrNames (configuration.config.deployment.keys or { }); in
    if keys == [ ] then configuration
    else throw ("deployment.keys.${builtins.head keys} of ${name}: colmena's keys do not come with an image; take them out, "
      + "and hand them to the node as secrets of the deployment file");

  modulesOf = module: listOf (described.defaults or { }) ++ listOf module;
  argumentsOf = name: { inherit name; } // (meta.specialArgs or { }) // (meta.nodeSpecialArgs.${name} or { });

  evaluated = builtins.mapAttrs
    (name: module: import ../system.nix {
      pin = pinFor name;
      inherit system;
      modules = modulesOf module ++ [ deployment (madeWith name) ];
      specialArgs = { nodes = evaluated; } // argumentsOf name;
    })
    nodes;
in
{
  configurations = builtins.mapAttrs withoutKeys evaluated;
  # Of each node, what `deployment` says that an inventory has use for.
  described = builtins.mapAttrs
    (name: module: import ./deployment.nix { specialArgs = argumentsOf name; } (modulesOf module))
    nodes;
  # The same with Nixpkgs, whatever it depends on.
  describedWhole = builtins.mapAttrs
    (name: configuration:
      let inherit (configuration.config) deployment; in
      {
        inherit (deployment) tags;
        machine = {
          # Colmena's own default is the name of the node.
          host = if deployment.targetHost == name then null else deployment.targetHost;
          user = deployment.targetUser;
          port = deployment.targetPort;
        };
      })
    evaluated;
}
