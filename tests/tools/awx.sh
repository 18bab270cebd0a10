#!/usr/bin/env bash
# What AWX is tested with, renewed when its lists change: ansible-builder; the collection awx.awx, which is had from the last
# major version of the package "ansible" that has it; and `root`, which stands in for an execution environment: a plain Debian
# with what the collection's lists ask for.
# Usage: awx.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=$1
bundle=ansible==13.8.0
digest=$(echo "$bundle" | cat - requirements.txt requirements-awx.txt bindep.txt "tests/tools/${0##*/}" | sha256sum)
[ "$digest" != "$(cat "$directory/.digest" 2>/dev/null)" ] || exit 0
python=$(tests/tools/interpreter.sh 3.13)
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-awx.txt
"$directory/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$directory/bundle" "$bundle"
"$directory/bin/python" - "$directory" <<'END'
import sys, zipfile
from pathlib import Path

directory = Path(sys.argv[1])
(wheel,) = (directory / "bundle").glob("*.whl")
with zipfile.ZipFile(wheel) as bundle:
    names = [name for name in bundle.namelist() if name.startswith("ansible_collections/awx/awx/")]
    bundle.extractall(directory / "controller", names)
wheel.unlink()
END
# The archive that this host's apt uses.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
system=$(sed -n 's/ \[platform:dpkg\]$//p' bindep.txt)
mmdebstrap --quiet --mode=root --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --include="python3 $system" trixie "$directory/root" ${mirror:+"$mirror"}
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check --target "$directory/root/usr/local/lib/python3.13/dist-packages" \
    ansible-core ansible-runner -r requirements.txt
sed -i '1s|^#!.*|#!/usr/bin/python3|' "$directory"/root/usr/local/lib/python3.13/dist-packages/bin/*  # of the root
mkdir -p "$directory"/root/{runner,usr/share/ansible/collections/ansible_collections/immutable/compose}
echo "$digest" >"$directory/.digest"
