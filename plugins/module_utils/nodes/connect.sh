# shellcheck shell=sh
# Usage: connect [NODE…]
# A shell on each of these nodes of the deployment, or on all: in this terminal if it is one, else in a pane of tmux each.
set -eu
state=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
nodes=$(sed -n 's/^Host \([^*]*\)$/\1/p' "$state/ssh_config")

fail() {
    echo "connect: $1" >&2
    exit 1
}

for node in "$@"; do
    printf '%s\n' "$nodes" | grep -qxF -e "$node" || fail "no node '$node' in $state/ssh_config"
done
# shellcheck disable=SC2086  # names of nodes have no blanks
[ $# -gt 0 ] || set -- $nodes
[ $# -gt 0 ] || fail "no node in $state/ssh_config"
[ $# -gt 1 ] || exec ssh -F "$state/ssh_config" "$1"
command -v tmux >/dev/null || fail "tmux, which shows several nodes, is not installed"

# pane NODE COMMAND…: a pane, made by COMMAND of tmux; it is $last then. The window says whose it is, and why it ended.
pane() {
    node=$1
    shift
    made=$(tmux "$@" -P -F '#{pane_id}' ssh -F "$state/ssh_config" "$node") || return
    last=$made
    tmux set-option -p -t "$last" @node "$node" \; set-option -w -t "$last" remain-on-exit failed
    tmux select-layout -t "$last" tiled  # there is room for the next only where all are of one size
}

first=$1 count=$#
shift
if [ -n "${TMUX:-}" ]; then
    pane "$first" new-window -n "${state##*/}"
else
    size=$(stty size 2>/dev/null) && [ "$size" != '0 0' ] || size='24 80'
    pane "$first" new-session -d -n "${state##*/}" -x "${size#* }" -y "${size% *}"
fi
window=$last
tmux set-option -w -t "$window" pane-border-status top \; set-option -w -t "$window" pane-border-format ' #{@node} '
for node in "$@"; do
    pane "$node" split-window -t "$last" || {
        tmux kill-window -t "$window"
        fail "no room for $count panes in this terminal: name some of the nodes"
    }
done
[ -n "${TMUX:-}" ] || exec tmux attach-session -t "$(tmux display-message -p -t "$window" '#{session_id}')"
