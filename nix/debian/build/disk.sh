# A disk that boots with BIOS and UEFI: one FAT partition, labelled COMPOSE, with boot loaders, kernel, initramfs and root.
export SOURCE_DATE_EPOCH=315532800  # the first date that FAT knows
export MTOOLS_SKIP_CHECK=1

sector=512 start=2048
content=$(du --apparent-size --dereference --block-size=1 --summarize "$image" | cut -f1)
# Whole MiB.
# shellcheck disable=SC2017
sectors=$(( (content * 102 / 100 + 8 * 1024 * 1024) / 1048576 * 2048 ))
cmdline=$(cat "$image/cmdline")

phase "making the file system"
truncate -s $((sectors * sector)) fat
mkfs.vfat -F 32 -n COMPOSE -i 434f4d50 --invariant -h $start fat > /dev/null
cat > syslinux.cfg <<END
DEFAULT compose
PROMPT 0
LABEL compose
  LINUX /kernel
  INITRD /initrd
  APPEND $cmdline
END
printf 'timeout 0\ndefault compose.conf\n' > loader.conf
printf 'title compose\nlinux /kernel\ninitrd /initrd\noptions %s\n' "$cmdline" > compose.conf
mmd -i fat ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
mcopy -i fat /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
mcopy -i fat loader.conf ::/loader/
mcopy -i fat compose.conf ::/loader/entries/
mcopy -i fat syslinux.cfg ::/
phase "copying kernel and root"
mcopy -i fat "$image/kernel" "$image/initrd" "$image/root.squashfs" ::/
syslinux --install fat

phase "making the disk"
truncate -s $(((start + sectors) * sector)) "$out/disk.raw"
sfdisk --quiet "$out/disk.raw" <<END
label: dos
label-id: 0x434f4d50
start=$start, size=$sectors, type=ef, bootable
END
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$out/disk.raw" bs=440 count=1 conv=notrunc status=none
dd if=fat of="$out/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none
