#!/usr/bin/env bash
# Says what the demo does, and how long each part takes here, then does it.
# Usage: demo.sh ANSIBLE-PLAYBOOK-ARGUMENT...
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tools/preflight.sh

# part NAME SECONDS WHAT
part() {
    printf '  %-9s %-7s %s\n' "$1" "$2" "$3"
}

# guests_with_kvm: whether virtual machines will run on the processor itself, as far as can be told now
guests_with_kvm() {
    [ -w /dev/kvm ] || return
    command -v qemu-system-x86_64 >/dev/null || return 0
    local code=0
    timeout 1 qemu-system-x86_64 -accel kvm -cpu host -machine pc -m 64 -nodefaults -display none >/dev/null 2>&1 || code=$?
    [ "$code" = 124 ]  # it ran until it was ended
}

missing=$(missing_packages demo)
preflight demo "$missing"
echo "An NFS server and two clients, as virtual machines on this computer. The times are those of two idle cores; here are $(nproc):"
if [ -n "$missing" ]; then
    part install '60 s' "$(wc -w <<<"$missing") packages of Debian: $missing"
else
    part install '0 s' 'the packages of Debian are there'
fi
if has_environment; then
    part Python '0 s' 'Ansible is in .cache/venv'
else
    part Python '30 s' 'Ansible and the libraries of the collection, into .cache/venv'
fi
part build '50 s' 'two images, of packages with known hashes; 0 s for images that are built already'
if guests_with_kvm; then
    part boot '30 s' 'three virtual machines, with KVM; 0 s for those that run already'
else
    part boot '2 min' 'three virtual machines, emulated, because KVM cannot be used here; 0 s for those that run already'
fi
part verify '10 s' 'units, ports, and what one client writes and the other reads; and 15 s in which nodes must stay well'
echo

tests/tools/setup.sh demo
venv=$(printf '%s\n' .cache/venv/3.* | sort -rV | head -n 1)
PATH=$PWD/$venv/bin:$PATH exec ansible-playbook -i inventories/demo playbooks/deploy.yml "$@"
