# shellcheck shell=bash
# The same configuration on all servers, made of their names in the node document.
servers=$(jq -er '[.peers[] | select(.role == "server").name] | join(",")' /run/compose/node.json)
mkdir -p /run/orangefs /var/lib/orangefs
chown orangefs: /var/lib/orangefs
pvfs2-genconfig --quiet --protocol tcp --ioservers "$servers" --metaservers "$servers" \
    --storage /var/lib/orangefs/data --metadata /var/lib/orangefs/meta --logfile /var/log/orangefs/server.log \
    /run/orangefs/server.conf
chmod 0644 /run/orangefs/server.conf
