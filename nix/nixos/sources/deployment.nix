# What NixOS modules say of `deployment`, found out without Nixpkgs: of modules, this is read and nothing else. It is enough
# where neither that, nor the shape of a module, depends on the configuration.
{ specialArgs }:
let
  inherit (builtins) concatLists concatMap filter foldl' hasAttr head isAttrs isFunction isPath isString;

  # Modules of Nixpkgs: they are not there, and say nothing of it.
  modulesPath = "/no-nixpkgs/nixos/modules";
  isTheirs = module: isString module && builtins.substring 0 (builtins.stringLength modulesPath) module == modulesPath;

  lib = (import ../../debian/lib.nix).lib // rec {
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
    mkOverride = priority: content: { _type = "override"; inherit priority content; };
    mkOrder = priority: content: { _type = "order"; inherit priority content; };
    mkOptionDefault = mkOverride 1500;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    mkVMOverride = mkOverride 10;
    mkBefore = mkOrder 500;
    mkAfter = mkOrder 1500;
  };
  missing = name: throw ("what 'deployment' says depends on '${name}', which takes Nixpkgs: 'trust: true' in the deployment "
    + "file lets it be looked at, or 'roles' in composition.yml name the nodes and their tags");
  available = { inherit lib modulesPath; } // specialArgs;
  arguments = f: available // builtins.mapAttrs (name: _: available.${name} or (missing name)) (builtins.functionArgs f);

  call = module: if isFunction module then call (module (arguments module)) else module;
  load = module: call (if isPath module || isString module then import module else module);

  isOf = type: value: isAttrs value && (value._type or null) == type;
  # The definitions below a value, with mkMerge and mkIf taken off; a condition is looked at only where there are any.
  under = find: value:
    if isOf "merge" value then concatMap (under find) value.contents
    else if isOf "if" value then
      (let found = under find value.content; in if found == [ ] || !value.condition then [ ] else found)
    else find value;
  attribute = name: under (value: if isAttrs value && hasAttr name value then [ value.${name} ] else [ ]);
  # With mkForce and its like taken off.
  weighed = priority: under (value:
    if isOf "override" value then weighed value.priority value.content
    else if isOf "order" value then weighed priority value.content
    else [{ inherit priority value; }]);

  definitions = modules: concatMap
    (module:
      let content = load module; in
      definitions (content.imports or [ ])
      ++ attribute "deployment" (if content ? config || content ? options then content.config or { } else content))
    (filter (module: !isTheirs module) modules);
in
modules:
let
  found = definitions modules;
  # What counts of an option: the definitions of the least priority.
  values = name:
    let
      all = concatMap (weighed 100) (concatMap (attribute name) found);
      least = foldl' (least: each: if each.priority < least then each.priority else least) 9999 all;
    in
    map (each: each.value) (filter (each: each.priority == least) all);
  one = name: let all = values name; in if all == [ ] then null else head all;
in
{
  # What is no list is for those to refuse who can name the node.
  tags = let all = values "tags"; wrong = filter (value: !builtins.isList value) all; in
    if wrong == [ ] then concatLists all else head wrong;
  machine = { host = one "targetHost"; user = one "targetUser"; port = one "targetPort"; };
}
