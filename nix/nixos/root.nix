# The root file system of a system as one file.
{ lib, pkgs, config, format, kernel ? "", initrd ? "" }:
let
  inherit (config.system.build) toplevel;
in
pkgs.stdenvNoCC.mkDerivation {
  name = "${config.compose.role}-root";
  __structuredAttrs = true;
  # It has copies of all that it needs.
  unsafeDiscardReferences.out = true;
  nativeBuildInputs = lib.optional (format == "squashfs") pkgs.buildPackages.squashfsTools;
  closure = pkgs.closureInfo { rootPaths = [ toplevel ]; };
  toplevel = "${toplevel}";
  inherit format kernel initrd;
  buildCommand = builtins.readFile ./build/root.sh;
}
