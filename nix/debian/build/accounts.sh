# Which users and groups there are once $debs are installed on $base, with the answers $debconf: $out/numbers.
phase "unpacking the base"
make_root
unsquashfs -quiet -no-progress -force -dest $root "$base/base.squashfs"
SOURCE_DATE_EPOCH=$(epoch_of $debs)
export SOURCE_DATE_EPOCH

enter_root
phase "installing packages"
echo "$debconf" > $root/tmp/answers
in_root debconf-set-selections /tmp/answers
install $debs
leave_root
# shellcheck disable=SC1090  # of this collection
. "$numbers"
list_numbers "$out/numbers"
