# Makes the root file system of a role ($config, $identity) on top of its packages ($layer); with a kernel, also kernel and
# initramfs.
config=/build/${configPath##*/}
# shellcheck disable=SC1090  # of this collection
. "$numbers"
# shellcheck disable=SC1090
. "$generated"

begin_layer "$layer"
renumber_packages

enter_root
phase "configuring"
# --- users
query '.users // {} | to_entries[] | [.key, (.value.uid // ""), (.value.group // ""), (.value.home // ""),
    (.value.shell // ""), (.value.groups // [] | join(","))] | map(tostring) | join("\u001f")' |
while IFS=$'\x1f' read -r name uid group home shell groups; do
    [ -n "$uid" ] || uid=$(kept users "$name")
    [ -z "$group" ] || make_group "$group"
    options=(${uid:+--uid "$uid"} ${group:+--gid "$group"})
    if in_root getent passwd "$name" > /dev/null; then
        options+=(${home:+--home "$home"} ${shell:+--shell "$shell"} ${groups:+--append --groups "$groups"})
        [ ${#options[@]} = 0 ] || in_root usermod "${options[@]}" "$name"
    else
        if [ -z "$group" ] && [ -n "$(kept groups "$name")" ]; then
            make_group "$name"
            options+=(--gid "$name")
        elif [ -z "$group" ]; then
            options+=(--user-group)
        fi
        options+=(--create-home --home-dir "${home:-/home/$name}" --shell "${shell:-/bin/bash}" --password '*')
        in_root useradd "${options[@]}" ${groups:+--groups "$groups"} "$name"
    fi
    keys=$(query --arg name "$name" '.users[$name].authorizedKeys // [] | join("\n")')
    if [ -n "$keys" ]; then
        home=$(in_root getent passwd "$name" | cut -d: -f6)
        mkdir -p "$root$home/.ssh"
        printf '%s\n' "$keys" > "$root$home/.ssh/authorized_keys"
        chmod 0700 "$root$home/.ssh"
        in_root chown -R "$name:" "$home/.ssh"
    fi
done

# --- archives
query '.archives // {} | to_entries[] | [.value.source, .value.dest] | join("\u001f")' |
while IFS=$'\x1f' read -r source dest; do
    mkdir -p "$root$dest"
    case $source in
        *gz) gzip -dc "$source" ;;
        *xz) busybox xz -dc "$source" ;;
        *bz2) busybox bzip2 -dc "$source" ;;
        *) cat "$source" ;;
    esac | in_root tar --extract --no-same-owner --directory "$dest"
done

# --- files
query '.files // {} | to_entries[] | [.key, (.value.source // ""), (.value.mode // ""), (.value.user // "root"),
    (.value.group // "root")] | join("\u001f")' |
while IFS=$'\x1f' read -r path source mode user group; do
    mkdir -p "$root${path%/*}"
    if [ -n "$source" ]; then
        cp -RT --remove-destination "$source" "$root$path"
        chmod -R u=rwX,go=rX "$root$path"
    else
        rm -f "$root$path"
        jq -j --arg path "$path" '.files[$path].text // ""' "$config" > "$root$path"
        chmod 0644 "$root$path"
    fi
    [ -z "$mode" ] || chmod "$mode" "$root$path"
    in_root chown -R "$user:$group" "$path"
done

# --- volumes: table for fstab and for own-volumes, which empties them and sets owners at each boot
query '.volumes // {} | to_entries[] | [.key, .value.mount, (.value.user // "root"), (.value.group // "root"),
    (.value.mode // "0755"), (.value.keep != false)] | map(tostring) | join("\t")' > $root/usr/lib/compose/volumes
: > $root/etc/fstab
# No time limits: how long a node may take to come up, the deployment says.
fs_options=defaults,x-systemd.makefs,x-systemd.growfs,x-systemd.device-timeout=infinity,x-systemd.mount-timeout=infinity
while IFS=$'\t' read -r name mount _; do
    mkdir -p "$root$mount"
    echo "/dev/disk/by-id/virtio-$name $mount ext4 $fs_options 0 2" >> $root/etc/fstab
done < $root/usr/lib/compose/volumes

# --- kernel modules
query '.kernelModules // [] | .[]' > $root/etc/modules-load.d/compose.conf

# --- units
query '.units // {} | to_entries[] | select(.value.text != null) | .key' | while read -r unit; do
    query -j --arg unit "$unit" '.units[$unit].text' > "$root/etc/systemd/system/$unit"
done
query '.units // {} | to_entries[] | .key + " " + (if .value.mask == true then "mask"
    elif .value.enable == false then "disable" else "enable" end)' | while read -r unit action; do
    in_root systemctl --quiet "$action" "$unit"
done

# --- commands of the role
postInstall=$(query '.postInstall // ""')
if [ -n "$postInstall" ]; then
    phase "running postInstall"
    in_root /bin/sh -euc "$postInstall"
fi
leave_root

phase "cleaning up"
list_numbers "$out/numbers"
echo "$identity" > $root/usr/lib/compose/identity
printf 'IMAGE_ID="%s"\nIMAGE_VERSION="%s"\n' "$imageId" "$identity" >> $root/usr/lib/os-release
clean_root
rm -rf $root/var/cache/debconf

phase "looking for what was generated"
cp "$layer/generated" $made
take_generated
declare_generated
require_nothing_private

if [ -n "${cmdline:-}" ]; then
    cp "$layer/kernel" "$out/kernel"
    echo "$cmdline" > "$out/cmdline"
    # The second of two archives in an initramfs: which root file system it belongs to.
    mkdir initrd
    echo "$identity" > initrd/identity
    archive initrd | cat "$layer/initrd" - > "$out/initrd"
fi

clamp_times /build/start
phase "packing"
if [ -s "$layer/private" ]; then
    # What the role has put something else in place of: it must not be below that either.
    pack $root "$out/root.squashfs" -comp zstd -Xcompression-level 5
else
    pack_above "$layer" "$out/root.squashfs"
fi
