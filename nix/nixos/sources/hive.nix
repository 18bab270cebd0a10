# A hive of colmena: nodes are NixOS modules, or lists of them, beside `meta` and `defaults`.
# https://colmena.cli.rs/unstable/reference/meta.html
{ hive, nixpkgs, pin, system }:
let
  described = if builtins.isFunction hive || hive ? __functor then hive { } else hive;
  meta = described.meta or described.network or { };
  nodes = removeAttrs described [ "meta" "network" "defaults" "__schema" ];
  listOf = value: if builtins.isList value then value else [ value ];

  # meta.nixpkgs is a set of packages, a path, or a function that gives one; it is the hive's own pin.
  own = name:
    let
      value = given (meta.nodeNixpkgs.${name} or meta.nixpkgs or null);
      tried = builtins.tryEval value;
    in
    # What the option replaces need not be there, such as <nixpkgs>.
    if nixpkgs == "" then value else if tried.success then tried.value else null;
  given = value:
    if builtins.isFunction value then given (value { })
    # A directory that gives packages of a tree which lies elsewhere.
    else if builtins.isPath value && !builtins.pathExists (value + "/nixos/lib/eval-config.nix") then given (import value)
    else value;
  pinFor = name:
    let value = own name; in
    if nixpkgs != "" || value == null then pin
    else { path = if builtins.isAttrs value then value.path or value.outPath else value; revision = null; };
  # Of a set of packages, what it is for and was made with is meant, too.
  systemOf = value: if builtins.isAttrs value && value ? path then value.system or "" else "";
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
            allowLocalDeployment = option types.bool false;
            buildOnTarget = option types.bool false;
            keys = option (types.lazyAttrsOf types.anything) { };
            privilegeEscalationCommand = option (types.listOf types.str) [ "sudo" "-H" "--" ];
            replaceUnknownProfiles = option types.bool true;
            sshOptions = option (types.listOf types.str) [ ];
            tags = option (types.listOf types.str) [ ];
          };
        };
      };
    };

  modulesOf = module: listOf (described.defaults or { }) ++ listOf module;
  argumentsOf = name: { inherit name; } // (meta.specialArgs or { }) // (meta.nodeSpecialArgs.${name} or { });

  evaluated = builtins.mapAttrs
    (name: module: import ../system.nix {
      pin = pinFor name;
      system = if system != "" then system else systemOf (own name);
      modules = modulesOf module ++ [ deployment (madeWith name) ];
      specialArgs = { nodes = evaluated; } // argumentsOf name;
    })
    nodes;
in
import ./nodes.nix evaluated // {
  # Of each node, what `deployment` says that an inventory has use for; `describedWhole` is the same with Nixpkgs.
  described = builtins.mapAttrs
    (name: module: import ./deployment.nix { specialArgs = argumentsOf name; } (modulesOf module))
    nodes;
}
