# Node document → shell commands for apply-node: one process instead of one for each value.
def write($path; $mode; $lines): "write \($path | @sh) \($mode) \($lines | map(. + "\n") | add // "" | @sh)";

if .schema != "immutable.compose/node/1" then
  "fail \("schema is \(.schema | tojson), expected \"immutable.compose/node/1\"" | @sh)"
else
  (.peers // [] | map(select(.address))) as $peers
  | .name as $name
  | write("/run/compose/hosts"; "0644"; ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
      + ($peers | map("\(.address) \(.name)"))
      + (if any($peers[]; .name == $name) then [] else ["127.0.1.1 \($name)"] end)),
    write("/run/compose/ssh/authorized_keys/root"; "0600"; .ssh.authorized_keys // []),
    if $refresh then empty else
      write("/run/compose/ssh/host_key"; "0600"; [.ssh.host_key // "" | rtrimstr("\n")]),
      write("/run/compose/ssh/host_key-cert.pub"; "0600"; [.ssh.host_certificate // "" | rtrimstr("\n")]),
      (.interfaces // [] | to_entries[] | .key as $index | .value
        | write("/run/systemd/network/10-compose-\($index).network"; "0644"; [
            "[Match]",
            (if .match.mac then "MACAddress=\(.match.mac)" else "Name=\(.match.name)" end),
            "[Network]",
            "LinkLocalAddressing=no",
            "IPv6AcceptRA=no",
            (if .dhcp then "DHCP=ipv4" else empty end),
            (if .address then "Address=\(.address)" else empty end),
            (if .gateway then "Gateway=\(.gateway)" else empty end)
          ])),
      "name=\($name | @sh)"
    end
end
