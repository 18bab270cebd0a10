{
  description = "What nxc.lib.compose gives (nixos-compose 0.7.11), with stub outputs in place of what needs Nixpkgs";

  outputs = { self }:
    let
      system = "x86_64-linux";
      make = name: commands: derivation {
        inherit name system;
        builder = "/bin/sh";
        PATH = "/usr/bin:/bin";
        args = [ "-c" commands ];
      };
      # As writeText of Nixpkgs: the text is in the derivation.
      write = name: text: derivation {
        inherit name system text;
        builder = "/bin/sh";
        args = [ "-c" ''printf %s "$text" > "$out"'' ];
      };
      setup = builtins.fromTOML (builtins.readFile ./setup.toml);
      selected = setup.project.selected or "";
      params = setup.params // (if selected == "" then { } else setup.${selected}.params) // (setup.override-params or { });

      composition = import ./composition.nix { setup = { inherit params; }; helpers = null; flavour.name = "vm"; };
      systems = builtins.mapAttrs
        (role: configuration: make "nixos-system-${role}-25.05" ''
          mkdir "$out"
          echo ${configuration.greeting} > "$out/greeting"
          echo 'echo stage 2 of ${role}' > "$out/init"
        '')
        composition.roles;
      base = make "image" ''mkdir "$out"; echo kernel > "$out/kernel"; echo initrd > "$out/initrd"'';
      script = write "test-script" composition.testScript;
      info = {
        composition = {
          roles = builtins.mapAttrs (_: toString) systems;
          roles_distribution = composition.rolesDistribution;
          test_script = script;
          all_store_info = make "all-store-info" ''echo > "$out"'';
        };
      };
      infoFile = write "compositions-info.json" (builtins.toJSON info);
      machines = flavour: more: builtins.toJSON {
        flavour = { name = flavour; description = flavour; image.distribution = "all-in-one"; };
        inherit system;
        compositions_info_path = infoFile;
        compositions_info = info;
        all = { kernel = "${base}/kernel"; initrd = "${base}/initrd"; stage1 = "${base}/stage1"; } // more;
      };
      service = role: top: {
        command = [ "${top}/init" ];
        image = "nxc-docker-base-image:latest";
        privileged = true;
      };
      compose = write "docker-compose" (builtins.toJSON { services = builtins.mapAttrs service systems; });
      texts = {
        vm = machines "vm" { };
        g5k-image = machines "g5k-image" { image = make "all-compositions.tar.xz" ''echo tar > "$out"''; };
        nspawn = builtins.toJSON {
          flavour = "nspawn";
          roles = builtins.attrNames systems;
          composition = builtins.mapAttrs (_: top: { toplevel = "${top}"; init = "${top}/init"; volumes = [ ]; ports = [ ]; }) systems;
          test_script = script;
          roles_distribution = composition.rolesDistribution;
        };
        docker = builtins.toJSON {
          flavour = "docker";
          roles = builtins.attrNames systems;
          image = make "docker-image-nxc-docker-base-image.tar.gz" ''echo oci > "$out"'';
          docker-compose-file = compose;
          test_script = script;
        };
      };
      pair = flavour: { name = "composition::${flavour}"; value = write "compose-info.json" texts.${flavour}; };
      # Made by a program: nothing of it is known before it is built.
      programmed = make "compose-info.json" "printf %s ${builtins.toJSON texts.vm} > \"$out\"";
    in
    {
      packages.${system} = builtins.listToAttrs (map pair (builtins.attrNames texts)) // {
        "composition::programmed" = programmed;
        "composition::broken" = make "compose-info.json" "echo it broke >&2; exit 3";
      };
    };
}
