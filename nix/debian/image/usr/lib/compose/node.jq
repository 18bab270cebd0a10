# Node document → shell commands for apply-node: one process instead of one for each value.
def short: split(".")[0];
def write($path; $mode; $lines): "write \($path | @sh) \($mode) \($lines | map(. + "\n") | add // "" | @sh)";

if .schema != "immutable.compose/node/1" then
  "fail \("schema is \(.schema | tojson), expected \"immutable.compose/node/1\"" | @sh)"
else
  (.peers // [] | map(select(.address))) as $peers
  | .name as $name
  | (.domain // "") as $domain
  | ([$name, $peers[].name] | unique | group_by(short) | map({key: (.[0] | short), value: length}) | from_entries) as $count
  # All names of a node: the full one first, as `hostname -f` wants it, and the first label where it is the only such.
  | def names: [if contains(".") or $domain == "" then . else "\(.).\($domain)" end, ., (short | select($count[.] == 1))]
      | reduce .[] as $each ([]; if index($each) then . else . + [$each] end) | join(" ");
  write("/run/compose/hosts"; "0644"; ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
      + ($peers | map("\(.address) \(.name | names)"))
      + (if any($peers[]; .name == $name) then [] else ["127.0.1.1 \($name | names)"] end)),
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
