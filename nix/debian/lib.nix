# The few functions of Nixpkgs' lib that descriptions of Debian roles use, without Nixpkgs; and `helpers` of NixOS Compose.
let
  inherit (builtins) attrNames concatLists concatStringsSep elemAt foldl' genList isAttrs isList length listToAttrs map;
in
rec {
  lib = builtins // rec {
    id = x: x;
    const = x: _: x;
    optional = condition: x: if condition then [ x ] else [ ];
    optionals = condition: xs: if condition then xs else [ ];
    optionalString = condition: x: if condition then x else "";
    optionalAttrs = condition: xs: if condition then xs else { };
    range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
    flatten = x: if isList x then concatLists (map flatten x) else [ x ];
    unique = foldl' (seen: x: if builtins.elem x seen then seen else seen ++ [ x ]) [ ];
    imap0 = f: xs: genList (n: f n (elemAt xs n)) (length xs);
    imap1 = f: xs: genList (n: f (n + 1) (elemAt xs n)) (length xs);
    concatMapStrings = f: xs: concatStringsSep "" (map f xs);
    concatMapStringsSep = separator: f: xs: concatStringsSep separator (map f xs);
    nameValuePair = name: value: { inherit name value; };
    genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
    filterAttrs = keep: set: removeAttrs set (builtins.filter (name: !keep name set.${name}) (attrNames set));
    recursiveUpdate = a: b: a // builtins.mapAttrs
      (name: value: if isAttrs (a.${name} or null) && isAttrs value then recursiveUpdate a.${name} value else value) b;
  };

  helpers = rec {
    # One role out of several parts: lists are joined, sets merged, and for all else the last part wins.
    merge = foldl' join { };
    join = a: b: a // builtins.mapAttrs
      (name: value:
        let old = a.${name} or null; in
        if isAttrs old && isAttrs value then join old value
        else if isList old && isList value then old ++ value
        else value)
      b;
    # Roles name1 … nameN, all alike or made from their number.
    makeMany = configuration: makeManyById (_: configuration);
    makeManyById = configuration: name: count: listToAttrs
      (map (id: { name = "${name}${toString id}"; value = configuration id; }) (lib.range 1 count));
  };
}
