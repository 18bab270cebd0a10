# Stands for Nixpkgs where only the way to it and back is tested: a few functions, and derivations of the host's programs.
{ system, ... }:
let
  inherit (builtins) attrNames filter listToAttrs map;
in
{
  inherit system;
  lib = builtins // rec {
    optional = condition: item: if condition then [ item ] else [ ];
    genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
    remove = unwanted: filter (item: item != unwanted);
    hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
    findFirst = fits: default: items: builtins.head (filter fits items ++ [ default ]);
    nameValuePair = name: value: { inherit name value; };
    range = first: last: builtins.genList (n: first + n) (last - first + 1);
    reverseList = items: map (n: builtins.elemAt items (builtins.length items - n - 1)) (range 0 (builtins.length items - 1));
    mkImageMediaOverride = value: value;
    mkDefault = value: value;
    mkForce = value: value;
  };
  runCommand = name: attributes: script: derivation ({
    inherit name system;
    builder = "/bin/bash";
    args = [ "-euo" "pipefail" "-c" script ];
    PATH = "/usr/bin:/bin";
  } // attributes);
  closureInfo = { rootPaths }: derivation {
    name = "closure-info";
    inherit system;
    builder = "/bin/bash";
    args = [
      "-euc"
      ''
        PATH=/usr/bin:/bin; mkdir $out; echo ${toString rootPaths} > $out/store-paths
        echo $NIX_STORE/0123456789abcdfghijklmnpqrsvwxyz-openssl-3.0.14-bin >> $out/store-paths
        echo $NIX_STORE/1123456789abcdfghijklmnpqrsvwxyz-unit-sshd.service >> $out/store-paths
      ''
    ];
  };
  buildPackages.jq = "";
  stdenv.hostPlatform = { inherit system; };
}
