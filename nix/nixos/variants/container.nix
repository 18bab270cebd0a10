# The system in a container: systemd-nspawn with a volatile overlay over its root, or what runs OCI images.
{ config, lib, pkgs, ... }:
let
  inherit (config.system.build) toplevel;

  # The root file system but for the store, which is added as layers.
  skeleton = pkgs.runCommand "${config.compose.role}-skeleton" { } ''
    mkdir -p $out/sbin $out/etc $out/usr/bin $out/var $out/run $out/root
    ln -s ${toplevel}/init $out/sbin/init
    ln -s ${toplevel}/etc/os-release $out/etc/os-release
  '';
  oci = pkgs.dockerTools.buildLayeredImage {
    name = "localhost/${config.compose.role}";
    tag = builtins.substring 0 32 (baseNameOf (builtins.unsafeDiscardStringContext toplevel.outPath));
    contents = [ skeleton ];
    config = {
      Cmd = [ "/sbin/init" ];
      StopSignal = "SIGRTMIN+3";
      Labels = {
        "immutable.compose.role" = config.compose.role;
        "immutable.compose.identity" = baseNameOf (builtins.unsafeDiscardStringContext toplevel.outPath);
      };
    };
  };
in
{
  boot.isContainer = true;

  compose.files = {
    root = {
      derivation = import ../root.nix { inherit lib pkgs config; format = "squashfs"; };
      file = "root.squashfs";
    };
    oci = { derivation = pkgs.runCommand "${config.compose.role}-oci" { } "mkdir $out; ln -s ${oci} $out/oci.tar.gz"; file = "oci.tar.gz"; };
  };

  services.openssh.startWhenNeeded = lib.mkForce false;
}
