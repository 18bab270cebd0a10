#!/usr/bin/env bash
# A simulated Proxmox VE whose VMs really boot, in a network namespace of its own, and the deployment of inventories/proxmox.
# Usage, as root, with ansible-playbook in PATH:
#   demo_proxmox.sh deploy           starts the simulator if it does not run, and deploys
#   demo_proxmox.sh run COMMAND...   runs a command in that network, with the API's address and token in its environment
#   demo_proxmox.sh start            only starts the simulator
#   demo_proxmox.sh stop             ends the simulator and its VMs, removes its state
#   demo_proxmox.sh destroy          removes the deployment, then all else
# PROXMOX_DEMO: directory of the simulator's state, PROXMOX_DEMO_GATEWAY: address of the bridge that the VMs are on.
set -euo pipefail
cd "$(dirname "$0")/../.."

state=${PROXMOX_DEMO:-$PWD/.cache/proxmox-demo}
gateway=${PROXMOX_DEMO_GATEWAY:-10.87.255.254/16}

# The process that serves, if it does: its namespace is the network.
server() {
    local pid
    pid=$(cat "$state/pid" 2>/dev/null) && grep -qazxF -- "$state" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

start() {
    ! server >/dev/null || return 0
    mkdir -p "$state"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec ip link set "$1" master vmbr0 up\n' >"$state/plug"
    chmod 755 "$state/plug"
    # Images may be uploaded to `local`, which a new Proxmox VE has to be told; statuses are always exact, to save waiting.
    cat >"$state/options.json" <<END
{
  "boot": true,
  "netdev": "tap,ifname=tap{vmid}i0,script=$state/plug,downscript=no",
  "resources_seconds": 0,
  "storages": {"local": {"type": "dir", "path": "/var/lib/vz", "content": "images,import"}}
}
END
    : >"$state/ready"
    # shellcheck disable=SC2016
    setsid unshare --net bash -euc '
        ip link set lo up
        ip link add vmbr0 type bridge
        ip address add "$1" dev vmbr0
        ip link set vmbr0 up
        exec python tests/simulators/proxmox/serve --state "$2"' bash "$gateway" "$state" \
        </dev/null >"$state/ready" 2>"$state/serve.log" &
    local pid=$!
    echo "$pid" >"$state/pid"
    until grep -q ^ready "$state/ready"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            echo "the simulator did not start:" >&2
            tail "$state/serve.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

run() {
    local pid url token
    pid=$(server) || { echo "the simulator does not run: $0 start" >&2; exit 1; }
    read -r _ url token <"$state/ready"
    token=${token#token:}
    export PROXMOX_HOST=${url#https://} PROXMOX_TOKEN_ID=${token%%=*} PROXMOX_TOKEN_SECRET=${token#*=}
    export PROXMOX_CA_FILE=$state/pve-root-ca.pem no_proxy='*'
    nsenter --net="/proc/$pid/ns/net" "$@"
}

deploy() {
    start
    # Images are built outside, where the Debian mirror is reached.
    ansible-playbook -i inventories/proxmox playbooks/build.yml -e '{"compose_formats": ["qcow2"]}'
    run ansible-playbook -i inventories/proxmox playbooks/deploy.yml
    echo "The machines are in a network of their own: put '$PWD/tests/tools/demo_proxmox.sh run' before ssh, curl and the like."
}

# VMs outlive the server.
machines() {
    python - "$state"/run/*.json <<'END'
import json, os, sys
for path in sys.argv[1:]:
    if os.path.exists(path) and (machine := json.load(open(path))["machine"]):
        print(machine["pid"])
END
}

destroy() {
    local pid code=0
    if server >/dev/null; then
        run ansible-playbook -i inventories/proxmox playbooks/destroy.yml -e '{"compose_data": true}' || code=$?
    fi
    stop
    return "$code"
}

stop() {
    local pid
    for pid in $(machines); do
        [[ $(readlink "/proc/$pid/exe") != */qemu-system-* ]] || kill "$pid"
    done
    if pid=$(server); then
        kill "$pid"
        while [ -e "/proc/$pid" ]; do sleep 0.1; done
    fi
    rm -rf "$state"
}

case ${1:-} in
    start | deploy | destroy | stop) "$1" ;;
    run) "$@" ;;
    *) sed -n '2,/^set/ { s/^# //p }' "$0" >&2; exit 2 ;;
esac
