# Which Nixpkgs a composition is built with: what the option names, else the input `nixpkgs` of its flake.lock.
#   path       of its tree; fails, in words for the user, if there is none
#   revision   git commit, or null where it is not known
{ nixpkgs, directory }:
let
  missing = throw ("no Nixpkgs is pinned: ${directory} has no flake.lock with an input 'nixpkgs', and the option "
    + "'nixpkgs' of the builder is not set. For a flake.nix, this writes one: "
    + "nix --extra-experimental-features 'nix-command flakes' flake lock ${directory}");

  file = /. + "${directory}/flake.lock";
  lock = builtins.fromJSON (builtins.readFile file);
  # An input is the name of a node, or the path to one from the root: input of an input.
  node = input: if builtins.isList input then builtins.foldl' (at: name: node lock.nodes.${at}.inputs.${name}) lock.root input else input;
  inputs = (lock.nodes.${lock.root}.inputs or { });
  locked = lock.nodes.${node inputs.nixpkgs}.locked;

  fetch = {
    github = l: builtins.fetchTarball {
      url = "https://${l.host or "github.com"}/${l.owner}/${l.repo}/archive/${l.rev}.tar.gz";
      sha256 = l.narHash;
    };
    gitlab = l: builtins.fetchTarball {
      url = "https://${l.host or "gitlab.com"}/${l.owner}/${l.repo}/-/archive/${l.rev}/${l.repo}-${l.rev}.tar.gz";
      sha256 = l.narHash;
    };
    tarball = l: builtins.fetchTarball { inherit (l) url; sha256 = l.narHash; };
    git = l: builtins.fetchGit ({ inherit (l) url rev; allRefs = true; }
      // (if l ? ref then { ref = l.ref; allRefs = false; } else { }));
    path = l: /. + l.path;
  };

  pinned = {
    path = (fetch.${locked.type} or (throw "flake.lock: input 'nixpkgs' is of type '${locked.type}', which is not known here")) locked;
    revision = locked.rev or null;
  };

  # A directory, an archive to fetch, or a flake: what its outPath has.
  chosen = {
    path =
      if builtins.substring 0 1 nixpkgs == "/" then /. + nixpkgs
      else if builtins.match "https?://.*|file://.*" nixpkgs != null then builtins.fetchTarball nixpkgs
      else (builtins.getFlake nixpkgs).outPath;
    revision = null;
  };
in
if nixpkgs != "" then chosen
else if builtins.pathExists file && inputs ? nixpkgs then pinned
else { path = missing; revision = null; }
