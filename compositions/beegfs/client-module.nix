# The kernel module of BeeGFS' clients, for the kernel of the package set that calls this.
{ lib, stdenv, kernel, beegfs }:
let
  modules = "lib/modules/${kernel.modDirVersion}";
in
stdenv.mkDerivation {
  pname = "beegfs-module";
  version = "${beegfs.version}-${kernel.version}";
  inherit (beegfs) src;

  nativeBuildInputs = kernel.moduleBuildDependencies;
  hardeningDisable = [ "pic" ];

  postPatch = ''
    patchShebangs client_module
    find client_module -name '*.mk' -o -name Makefile | xargs sed -i 's|/bin/true|true|'
  '';

  makeFlags = [
    "BEEGFS_VERSION=${beegfs.version}"
    "KRELEASE=${kernel.modDirVersion}"
    "KDIR=${kernel.dev}/${modules}/build"
    "KSRCDIR=${kernel.dev}/${modules}/source"
  ];
  buildFlags = [ "client" ];

  installPhase = ''
    runHook preInstall
    install -D -m 444 -t $out/${modules}/extra client_module/build/beegfs.ko
    runHook postInstall
  '';

  meta = {
    description = "Kernel module of BeeGFS' clients";
    license = lib.licenses.gpl2Only;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };
}
