#!/bin/sh
# Stands in for stage 1 of NixOS Compose, of which no real image can be made without Nixpkgs. Reads the kernel command
# line, the deployment document and compositions-info.json in the same order, with the same jq queries, and says on the
# console what it would boot; then answers to pings, as its peers are to find it.
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /tmp /mnt-root/etc/nxc /mnt-root/nix/store
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec >/dev/ttyS0 2>&1
while read -r module; do insmod "/modules/$module"; done < /modules/order

# shellcheck disable=SC2013
for o in $(cat /proc/cmdline); do
    case $o in
        ip=*) ip_addr=$(echo "${o#ip=}" | cut -d : -f 1) ;;
        flavour=*) flavour=${o#flavour=} ;;
        deploy=*) deploy=${o#deploy=} ;;
    esac
done
ip addr add "$ip_addr/24" dev eth1
ip link set eth1 up
json=/mnt-root/etc/nxc/deployment.json
if [ "$flavour" = vm ]; then
    # Debian's cloud kernel has no 9p: only that the shares are there can be seen.
    echo "STAGE1 flavour=vm address=$ip_addr deploy=$deploy shares=$(grep -l 0x0009 /sys/bus/virtio/devices/*/device | wc -l)"
    echo "STAGE1 done"
    while sleep 1; do :; done
fi
ip link set eth0 up
udhcpc -q -n -i eth0 -s /dhcp
ip_addr=$(ip route get 1.0.0.0 | awk '{print $NF;exit}')
echo "$deploy" | base64 -d >> $json
cp /compositions-info.json /mnt-root/nix/store/

composition=$(jq -r '."composition" // empty' $json)
role_host=$(jq -r ".deployment.\"$ip_addr\" | \"\(.role) \(.host // \"\")\"" $json)
# shellcheck disable=SC2086
set -- $role_host
info=/mnt-root/nix/store/compositions-info.json
[ -f $info ] || info=/mnt-root$(jq -r '."compositions_info_path" // empty' $json)
toplevel=$(jq -r ".\"$composition\".roles.\"$1\"" "$info")
echo "STAGE1 flavour=$flavour address=$ip_addr role=$1 host=$2 toplevel=$toplevel"
echo "STAGE1 keys=$(jq -r '."ssh_key.pub" // empty' $json | wc -l)"
jq -r '.deployment | to_entries | map("STAGE1 hosts " + .key + " " + (.value.host)) | .[]' $json
jq -r '.deployment | to_entries[] | .key' $json | while read -r peer; do
    [ "$peer" = "$ip_addr" ] && continue
    end=$(($(date +%s) + 30))
    until ping -c 1 -W 1 "$peer" >/dev/null || [ "$(date +%s)" -gt "$end" ]; do sleep 1; done
    [ "$(date +%s)" -gt "$end" ] || echo "STAGE1 reached $peer"
done
echo "STAGE1 done"
while sleep 1; do :; done
