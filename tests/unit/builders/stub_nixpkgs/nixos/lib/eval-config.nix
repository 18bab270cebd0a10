# Stands for the module system: knows the role, its parameters and the variant of the image, and nothing else of the modules.
{ modules, system ? null, specialArgs ? { } }:
let
  pkgs = import ../.. { system = builtins.currentSystem; };
  inherit (pkgs) lib;

  file = name: text: pkgs.runCommand name { inherit text; } "mkdir $out; printf %s \"$text\" > $out/file";

  evaluate = modules:
    let
      sets = builtins.filter builtins.isAttrs modules;
      role = { role = "?"; volumes = { }; } // (builtins.foldl' (all: set: all // (set.compose or { })) { } sets);
      content = builtins.foldl' (all: module: all + toString (module.stubText or "")) "" sets;
      files = builtins.filter builtins.isPath modules;
      variant = builtins.concatStringsSep " " (map (path: baseNameOf (toString path)) files);
      toplevel = file "nixos-system-${role.role}-stub" "${variant} ${content}";
    in
    {
      inherit lib pkgs;
      options = { };
      config = {
        fileSystems = { };
        deployment = builtins.foldl' (all: set: all // (set.deployment or { })) { } sets;
        boot.isContainer = false;
        users = {
          users = { root = { name = "root"; uid = 0; isSystemUser = true; }; bob = { name = "bob"; uid = null; isSystemUser = false; }; };
          groups.root = { name = "root"; gid = 0; };
        };
        compose = role // {
          cmdline = "init=${toplevel}/init";
          volumes = builtins.mapAttrs (_: volume: { size = 1024; user = "root"; group = "root"; mode = "0755"; } // volume) role.volumes;
          files = lib.genAttrs [ "root" "kernel" "initrd" "raw" "qcow2" "tar" "oci" "iso" "vma" "kexec" ]
            (format: { derivation = file "${format}-of-${role.role}" "${format} of ${toplevel}"; file = "f*e"; });
        };
        system.build = { inherit toplevel; };
      };
      extendModules = more: evaluate (modules ++ more.modules);
    };
in
evaluate modules
