# Servers and tools of BeeGFS. Its kernel module belongs to a kernel: client-module.nix.
{ lib, stdenv, pkg-config, curl, libnl, rdma-core, util-linux, zlib, source }:
let
  programs = [ "mgmtd" "meta" "storage" "helperd" "ctl" "fsck" ];
in
stdenv.mkDerivation {
  pname = "beegfs";
  version = "7.4.7"; # as in flake.nix
  src = source;

  nativeBuildInputs = [ pkg-config ];
  buildInputs = [ curl libnl rdma-core util-linux zlib ];
  enableParallelBuilding = true;

  # There is no /bin/bash where Nix builds.
  postPatch = ''
    patchShebangs .
    find . -name Makefile -exec sed -i 's|/bin/bash|${stdenv.shell}|' {} +
  '';

  makeFlags = [ "BEEGFS_VERSION=7.4.7" ];
  buildFlags = map (program: "${program}-all") programs;

  installPhase = ''
    runHook preInstall
    for program in ${toString programs}; do
      install -D -t $out/bin $program/build/beegfs-$program
    done
    install -D -t $out/lib common/build/libbeegfs_ib.so
    runHook postInstall
  '';

  meta = {
    description = "Servers and tools of the parallel file system BeeGFS";
    homepage = "https://www.beegfs.io/";
    license = lib.licenses.unfree;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };
}
