# Stands for Nixpkgs where roles are looked into: the packages that examples name, whose builds write down what they are told.
{ system, overlays ? [ ], config ? { } }:
let
  stub = import ../stub_nixpkgs { inherit system; };

  lib = stub.lib // {
    getName = package: package.pname;
    licenses = { unfree = "unfree"; gpl2Only = "GPL-2.0-only"; };
  };

  mkDerivation = attributes:
    let
      name = "${attributes.pname}-${attributes.version}";
      made = stub.runCommand name
        { told = builtins.toJSON (removeAttrs attributes [ "meta" "passthru" ]); }
        ''mkdir "$out"; printf %s "$told" > "$out/told"'';
    in
    if (attributes.meta.license or "") == "unfree" && !(config.allowUnfreePredicate or (_: false)) attributes
    then throw "Package '${name}' has an unfree license ('unfree'), refusing to evaluate."
    else made // { inherit (attributes) pname version; } // (if attributes ? src then { inherit (attributes) src; } else { })
      // (attributes.passthru or { });

  package = name: mkDerivation { pname = name; version = "0"; };

  callWith = scope: file: arguments:
    let function = import file; in
    function (builtins.intersectAttrs (builtins.functionArgs function) scope // arguments);

  kernelOf = version: patches:
    let
      kernel = mkDerivation {
        pname = "linux";
        inherit version patches;
        passthru = {
          modDirVersion = "${version}.0";
          moduleBuildDependencies = [ ];
          dev = kernel;
          patched = kernelOf version;
        };
      };
    in
    kernel;

  base = stub // lib.genAttrs [ "curl" "fio" "jq" "libnl" "orangefs" "pkg-config" "rdma-core" "util-linux" "zlib" ] package // {
    inherit lib;
    stdenv = stub.stdenv // { inherit mkDerivation; shell = "/bin/sh"; };
    callPackage = callWith pkgs;
    linuxKernel = rec {
      packagesFor = kernel: { inherit kernel; callPackage = callWith (pkgs // { inherit kernel; }); };
      packages = { linux_6_6 = packagesFor (kernelOf "6.6" [ ]); linux_6_12 = packagesFor (kernelOf "6.12" [ ]); };
    };
  };
  pkgs = builtins.foldl' (prev: overlay: prev // overlay pkgs prev) base overlays;
in
pkgs
