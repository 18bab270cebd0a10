# The image of one role, out of its NixOS configuration.
{ role, configuration, formats, about }:
let
  base = configuration.extendModules {
    modules = [
      ./module.nix
      {
        compose = { inherit role; } // (if about ? volumes then { inherit (about) volumes; } else { })
          // (if about ? ports then { inherit (about) ports; } else { });
      }
    ];
  };
  inherit (base) lib;

  # Formats that are the same system in other wrappings; what they have in common decides how it boots.
  variants = {
    container = [ "root" "oci" ];
    disk = [ "root" "kernel" "initrd" "raw" "qcow2" ];
    memory = [ "kexec" ];
    installed = [ "tar" ];
    iso = [ "iso" ];
    proxmox = [ "vma" ];
  };
  fits = name: lib.all (format: lib.elem format variants.${name}) formats;
  variant =
    if formats == [ ] then "disk"
    else lib.findFirst fits (throw "formats ${toString formats} are not one system: build them one after the other")
      [ "container" "disk" "memory" "installed" "iso" "proxmox" ];

  # File systems that the configuration expects on disks of a machine of its own. The disk is ours: they become volatile.
  ours = [ "/" "/iso" "/nix/store" "/nix/.ro-store" "/nix/.rw-store" ]
    ++ lib.mapAttrsToList (_: volume: volume.mount) base.config.compose.volumes;
  isOnDisk = fs: lib.elem fs.fsType [ "bcachefs" "zfs" ]
    || (fs.device != null && builtins.match "/dev/.*|(PART)?(LABEL|UUID)=.*|ID=.*" fs.device != null);
  others = lib.filterAttrs (_: fs: !(lib.elem fs.mountPoint ours)) base.config.fileSystems;
  # networkd has no use for a gateway of no interface, which is that of the machine's network; NixOS refuses it.
  isLost = gateway: base.config.networking.useNetworkd && gateway != null && gateway.interface == null;
  elsewhere = {
    networking = lib.genAttrs [ "defaultGateway" "defaultGateway6" ]
      (name: lib.mkIf (isLost base.config.networking.${name}) (lib.mkForce null));
    fileSystems =
      if variant == "container"
      # A container has its root, and systemd is to look for no other.
      then lib.mkForce (lib.mapAttrs (_: fs: { inherit (fs) device fsType options; }) (lib.filterAttrs (_: fs: !isOnDisk fs) others))
      else lib.mapAttrs
        (_: _: lib.mkImageMediaOverride { device = "tmpfs"; fsType = "tmpfs"; options = [ "mode=0755" ]; })
        (lib.filterAttrs (_: isOnDisk) others);
    swapDevices = lib.mkImageMediaOverride [ ];
    boot.initrd.luks.devices = lib.mkImageMediaOverride { };
    boot.resumeDevice = lib.mkImageMediaOverride "";
  };

  system =
    if base.config.boot.isContainer && variant != "container"
    then throw "role '${role}' is a container (boot.isContainer): it has the formats oci and, alone, root"
    else machine;
  machine = base.extendModules { modules = [ elsewhere (./variants + "/${variant}.nix") ]; };
  inherit (system) config pkgs;
  inherit (config.system.build) toplevel;
  inherit (config.compose) files;

  architecture = { x86_64-linux = "amd64"; aarch64-linux = "arm64"; }.${pkgs.stdenv.hostPlatform.system}
    or pkgs.stdenv.hostPlatform.parsed.cpu.name;
  identity = baseNameOf (builtins.unsafeDiscardStringContext toplevel.outPath);
in
{
  inherit identity;
  parts = map (format: files.${format}.derivation) (lib.remove "kernel" formats);
  bundle = pkgs.runCommand "${role}-image"
    {
      nativeBuildInputs = [ pkgs.buildPackages.jq ];
      # A pattern for each format: where Nixpkgs names the file, its name has the version.
      files = lib.concatMap (format: [ format "${files.${format}.derivation}/${files.${format}.file}" ]) formats;
      closure = pkgs.closureInfo { rootPaths = [ toplevel ]; };
      manifest = builtins.toJSON {
        schema = "immutable.compose/image/1";
        inherit role identity architecture;
        builder = "nixos";
        identity_file = "/run/current-system";
        cmdline = config.compose.cmdline;
        volumes = lib.mapAttrs (_: volume: { inherit (volume) mount size user group mode; }) config.compose.volumes;
        numbers = import ./numbers.nix { inherit config lib; };
      };
      passAsFile = [ "manifest" ];
      packages = ./build/packages.jq;
    }
    (builtins.readFile ./build/bundle.sh);
}
