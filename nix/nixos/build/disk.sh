# shellcheck shell=bash disable=SC2154
# A disk that boots with BIOS (where syslinux has it) and UEFI: a FAT partition labelled COMPOSE with boot loaders, kernel and
# initrd, and a partition that is the root file system, $root.
export SOURCE_DATE_EPOCH=315532800  # the first date that FAT knows
export MTOOLS_SKIP_CHECK=1

sector=512 start=2048
mebibytes() { # that files take, and some more
    local content
    content=$(cat "$@" | wc -c)
    echo $(( content * 102 / 100 / 1048576 + 8 ))
}
fat_size=$(mebibytes "$kernel" "$initrd")
[ "$fat_size" -ge 40 ] || fat_size=40  # the least that FAT 32 can have
fat_sectors=$(( fat_size * 2048 ))
root_start=$(( start + fat_sectors ))
# Whole MiB.
# shellcheck disable=SC2017
root_sectors=$(( ($(stat -Lc %s "$root/root.squashfs") + 1048575) / 1048576 * 2048 ))

truncate -s $(( fat_sectors * sector )) fat
mkfs.vfat -F 32 -n COMPOSE -i 434f4d50 --invariant -h $start fat > /dev/null
printf 'DEFAULT compose\nPROMPT 0\nLABEL compose\n  LINUX /kernel\n  INITRD /initrd\n  APPEND %s\n' "$cmdline" > syslinux.cfg
printf 'timeout 0\ndefault compose.conf\n' > loader.conf
printf 'title compose\nlinux /kernel\ninitrd /initrd\noptions %s\n' "$cmdline" > compose.conf
mmd -i fat ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
mcopy -i fat "$boot" "::/EFI/BOOT/$fallback"
mcopy -i fat loader.conf ::/loader/
mcopy -i fat compose.conf ::/loader/entries/
mcopy -i fat syslinux.cfg ::/
mcopy -i fat "$kernel" ::/kernel
mcopy -i fat "$initrd" ::/initrd
[ -z "$mbr" ] || syslinux --install fat

mkdir "$out"
truncate -s $(( (root_start + root_sectors) * sector )) "$out/disk.raw"
sfdisk --quiet "$out/disk.raw" <<END
label: dos
label-id: 0x434f4d50
start=$start, size=$fat_sectors, type=ef, bootable
start=$root_start, size=$root_sectors, type=83
END
[ -z "$mbr" ] || dd if="$mbr" of="$out/disk.raw" bs=440 count=1 conv=notrunc status=none
dd if=fat of="$out/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$root/root.squashfs" of="$out/disk.raw" bs=1M seek=$(( root_start / 2048 )) conv=notrunc,sparse status=none
