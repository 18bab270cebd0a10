# Nodes of a hive, evaluated: configurations, and what `deployment` says of them, whatever it depends on.
evaluated:
let
  # No secret is in an image, and none that is meant to be on a node is left out of it without a word.
  withoutKeys = name: configuration:
    let keys = builtins.attrNames (configuration.config.deployment.keys or { }); in
    if keys == [ ] then configuration
    else throw ("deployment.keys.${builtins.head keys} of ${name}: colmena's keys do not come with an image; take them out, "
      + "and hand them to the node as secrets of the deployment file");
in
{
  configurations = builtins.mapAttrs withoutKeys evaluated;
  describedWhole = builtins.mapAttrs
    (name: configuration:
      let inherit (configuration.config) deployment; in
      {
        inherit (deployment) tags;
        machine = {
          # Colmena's own default is the name of the node.
          host = if deployment.targetHost == name then null else deployment.targetHost;
          user = deployment.targetUser;
          port = deployment.targetPort;
        };
      })
    evaluated;
}
