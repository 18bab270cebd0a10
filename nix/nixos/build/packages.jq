# Lines with store paths → packages, for image.json. Name and version part where Nix parts them (builtins.parseDrvName): at
# the first dash with no letter after it. What has no version is configuration and no package; nor are single files. An
# output follows the version. The same as from_store_paths in plugins/module_utils/images/packages.py.
[split("\n")[] | select(. != "") | . as $path
 | capture("/[0-9a-z]{32}-(?<name>.+?)-(?<version>[^a-zA-Z].*)$")
 | select(.version | test("^[0-9]"))
 | select($path | test("\\.(?:bz2|cfg|conf|diff|drv|gz|ini|json|link|lock|mount|network|patch|pem|rules|service|sh|socket|target|tgz|timer|toml|txt|xml|xz|ya?ml|zip)$") | not)
 | .version |= sub("-(?:bin|data|debug|dev|devdoc|dist|doc|getent|gui|include|info|lib|libgcc|man|modules|static|tests?|tk|utils)$"; "")
 | . + {path: $path}]
