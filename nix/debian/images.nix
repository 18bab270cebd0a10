# role name → role → its image, as derivations that depend on nothing but the role itself and the packages locked for it.
# `surroundings`: makes every second build (`again`) another one.
{ name, lock, mirrors, formats, surroundings }:
let
  inherit (builtins) baseNameOf concatMap concatStringsSep genList map replaceStrings stringLength substring toJSON;

  letters = text: genList (n: substring n 1 text) (stringLength text);
  # Neither os-release nor registries take capitals.
  lower = replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (letters "abcdefghijklmnopqrstuvwxyz");

  system = { amd64 = "x86_64-linux"; arm64 = "aarch64-linux"; }.${lock.architecture};

  # A locked file. Where it comes from does not enter the path of anything made of it.
  fetch = { archive ? "composition", filename, sha256, ... }: derivation {
    name = replaceStrings [ "~" "%" ] [ "-" "-" ] (baseNameOf filename);
    system = "builtin";
    builder = "builtin:fetchurl";
    url = "${mirrors.${archive} or "http://mirror.invalid"}/${filename}";
    outputHash = sha256;
    outputHashAlgo = "sha256";
    outputHashMode = "flat";
    preferLocalBuild = true;
  };
  deb = package: fetch lock.packages.${package};

  sets = lock.sets;

  # What a build takes of the packages that it unpacks: themselves, and what each of them has to call itself.
  unpacked = packages: {
    debs = map deb packages;
    check = ./build/claims.sh;
    claims = concatStringsSep "" (map
      (package: let locked = lock.packages.${package}; in "${package} ${locked.version} ${locked.architecture}\n")
      packages);
    passAsFile = [ "claims" ];
  };

  # Only these come from the host: sh, coreutils, dpkg-deb, tar, mount, unshare.
  build = attributes: derivation ({ inherit system; builder = "/bin/sh"; } // attributes);

  # A tree of unpacked packages; its programs build everything else.
  tree = name: packages: build ({
    inherit name;
    args = [ ./build/tools.sh ];
  } // unpacked packages);

  tools = tree "debian-tools" (sets.essential.packages ++ sets.tools.packages);
  diskTools = tree "debian-disk-tools" (sets.essential.packages ++ sets.tools.packages ++ sets.disk-tools.packages);

  # `needs`: what the script sees of the store, besides the tools.
  within = tools: script: attributes: build ({
    inherit tools script;
    args = [ ./build/enter.sh ];
    library = ./build/library.sh;
  } // attributes);

  # The same, or the second build of it, in surroundings that differ where it must not matter.
  maker = again: tools: script: attributes: within tools script
    (attributes // (if again then { inherit surroundings; name = "${attributes.name}-again"; } else { }));

  # The layers of an image: each is a file system that the next one starts from. First what every image has.
  base = again:
    let all = unpacked (sets.essential.packages ++ sets.base.packages); in
    maker again tools ./build/base.sh (all // {
      name = "debian-base";
      essential = map deb sets.essential.packages;
      debs = map deb sets.base.packages;
      image = ./image;
      needs = all.debs ++ [ all.check ./image ];
    });

  # Then the packages: one layer for all roles that have the same ones, whatever else they have.
  withPackages = again: { packages, kernel ? null, ... }: answers: generated:
    let all = unpacked (packages ++ (if kernel == null then [ ] else [ kernel ])); in
    maker again tools ./build/packages.sh (all // {
      name = "debian-packages";
      base = base again;
      debs = map deb packages;
      answers = concatStringsSep "" (map (answer: "${answer}\n") answers);
      config = toJSON { inherit generated; };
      asked = ./build/answers.pl;
      generated = ./build/generated.sh;
      passAsFile = [ "answers" "config" ] ++ all.passAsFile;
      needs = [ (base again) all.check ./build/answers.pl ./build/generated.sh ] ++ all.debs ++ (if kernel == null then [ ] else [ ./build/init.sh ]);
    } // (if kernel == null then { } else {
      kernel = deb kernel;
      init = ./build/init.sh;
    }));
in
role: attributes:
let
  locked = lock.roles.${role};
  kernel = locked.kernel or null;
  layer = again: withPackages again locked (attributes.debconf or [ ]) generated;
  generated = import ./generated.nix // attributes.generated or { };
  # What of a role makes its own layer: neither checks, nor what only the platform needs, nor what the other layers have.
  config = removeAttrs attributes [ "archives" "debconf" "description" "kernel" "kernelParams" "packages" "ports" "mayFail" ] // {
    inherit generated;
    volumes = builtins.mapAttrs (_: volume: removeAttrs volume [ "size" ]) (attributes.volumes or { });
  } // (if lock ? numbers then { inherit numbers; } else { })
  // (if archives == { } then { } else {
    archives = builtins.mapAttrs (archive: locked: { source = fetch locked; inherit (attributes.archives.${archive}) dest; }) archives;
  });
  archives = builtins.intersectAttrs (attributes.archives or { }) (locked.archives or { });
  tarballs = map fetch (builtins.attrValues archives);

  # Of those that the lock keeps, the role's own: those of another are no reason to build this one anew.
  users = attributes.users or { };
  numbers = {
    users = of lock.numbers.users (locked.users or [ ] ++ builtins.attrNames users);
    groups = of lock.numbers.groups (locked.groups or [ ] ++ builtins.attrNames users
      ++ map (user: user.group or "root") (builtins.attrValues users));
  };
  of = numbers: names: builtins.intersectAttrs
    (builtins.listToAttrs (map (name: { inherit name; value = null; }) names)) numbers;
  cmdline = toString ([ "console=tty0" "console=ttyS0" "panic=10" "quiet" ] ++ attributes.kernelParams or [ ]);

  # What the role names of the store: files of the composition, wherever it does; what was built, as a source.
  context = builtins.getContext (toJSON config);
  sources = builtins.filter (path: context.${path}.path or false) (builtins.attrNames context)
    ++ builtins.filter (source: source != null && !builtins.isPath source)
      (map (file: file.source or null) (builtins.attrValues (config.files or { })));

  inputs = layer: {
    name = "${name}-${role}";
    inherit layer;
    imageId = lower "${name}-${role}";
    config = toJSON config;
    passAsFile = [ "config" ];
    generated = ./build/generated.sh;
    numbers = ./build/numbers.sh;
    archives = tarballs;
    needs = [ layer ./build/generated.sh ./build/numbers.sh ] ++ sources ++ tarballs;
  } // (if kernel == null then { } else { inherit cmdline; });

  # Stands for all that the root file system is made of. It is not that one's own store path, which no build can put into
  # a compressed file: a second build has another path, and the two could not be compared.
  identity = baseNameOf (builtins.unsafeDiscardStringContext (within tools ./build/role.sh (inputs (layer false))).outPath);

  # All formats.
  formatsOf = again:
    let make = maker again; in
    rec {
      root = make tools ./build/role.sh (inputs (layer again) // { inherit identity; });
      raw = make diskTools ./build/disk.sh { name = "${name}-${role}-raw"; image = root; needs = root; };
      qcow2 = make diskTools ./build/qcow2.sh { name = "${name}-${role}-qcow2"; inherit raw; needs = raw; };
      tar = make tools ./build/tar.sh { name = "${name}-${role}-tar"; image = root; needs = root; };
      network = make tools ./build/network.sh { name = "${name}-${role}-network"; image = root; needs = root; };
      installed = make tools ./build/installed.sh {
        name = "${name}-${role}-installed";
        image = root;
        tree = ./installed;
        init = ./build/init-installed.sh;
        needs = [ root ./installed ./build/init-installed.sh ];
      };
      oci = make tools ./build/oci.sh {
        name = "${name}-${role}-oci";
        inherit role identity;
        inherit (lock) architecture;  # Debian's names are those of Go, which the format takes
        image = tar;
        needs = tar;
        reference = "localhost/${lower "${name}-${role}"}:${identity}";
      };
      files = {
        root = "${root}/root.squashfs";
        kernel = "${root}/kernel";
        initrd = "${root}/initrd";
        raw = "${raw}/disk.raw";
        qcow2 = "${qcow2}/disk.qcow2";
        tar = "${tar}/root.tar";
        oci = "${oci}/oci.tar";
        installed = "${installed}/installed.tar.gz";
        network = "${network}/network.cpio.gz";
      };
    };
  inherit (formatsOf false) root files;
  again = (formatsOf true).files;
  packages = sets.essential.packages ++ sets.base.packages ++ locked.packages ++ (if kernel == null then [ ] else [ kernel ]);
in
{
  inherit identity root;
  layer = layer false;  # has `numbers`: of the users and groups that packages make
  # The paths in which the second build of the formats differs from the first.
  differences = within tools ./build/compare.sh {
    name = "${name}-${role}-differences";
    images = map (format: files.${format}) formats;
    others = map (format: again.${format}) formats;
    needs = map (format: files.${format}) formats ++ map (format: again.${format}) formats;
  };
  bundle = within tools ./build/bundle.sh {
    name = "${name}-${role}-image";
    files = concatMap (format: [ format files.${format} ]) formats;
    numbers = "${root}/numbers";
    needs = [ root ] ++ map (format: files.${format}) formats;
    passAsFile = [ "manifest" ];
    manifest = toJSON ({
      schema = "immutable.compose/image/1";
      inherit role;
      builder = "debian";
      inherit identity;
      architecture = lock.architecture;
      inherit cmdline;
      packages = map (package: let locked = lock.packages.${package}; in {
        name = package;
        inherit (locked) version;
      } // (if locked.archive == "composition" then { inherit (locked) sha256; } else {
        source = baseNameOf (dirOf locked.filename);  # the archive has a directory for each source package
      })) packages ++ map (archive: { name = archive; inherit (archives.${archive}) version sha256; }) (builtins.attrNames archives);
      volumes = attributes.volumes or { };
    } // (if builtins.elem "installed" formats then {
      installed = { kernel = "/boot/vmlinuz"; initrd = "/boot/initrd.img"; compression = "gzip"; };
    } else { }));
  };
}
