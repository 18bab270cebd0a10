#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What the machines in folded.py have of systemd: units that are processes, by the name under which it is called.
# shellcheck disable=SC2016,SC2046 # groups are words, and what another shell is told is not for this one
units=/run/units
mkdir -p $units

alive() {
    pid=$(cat "$units/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status"
}

groups() {
    for top in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [ ! -e $top/cgroup.procs ] || echo "$top/contract-$1"
    done
}

forget() {
    for group in $(groups "$1"); do
        tries=0
        while [ -d "$group" ] && [ $((tries += 1)) -lt 200 ]; do
            find "$group" -depth -type d -exec sh -c 'kill -9 $(cat "$1/cgroup.procs") 2>/dev/null; rmdir "$1" 2>/dev/null' sh {} \;
            sleep 0.01
        done
    done
    rm -f "$units/$1.pid"
}

# The last word is the unit.
for unit; do :; done
case ${0##*/} in
systemd-run)
    for word; do
        shift
        case $word in --unit=*) unit=${word#--unit=} ;; --) break ;; esac
    done
    ! alive "$unit" || { echo "Unit $unit was already loaded" >&2; exit 1; }
    forget "$unit"
    mkdir -p $(groups "$unit")
    setsid sh -c 'for group in $1; do echo $$ >"$group/cgroup.procs"; done; echo $$ >"$2"; shift 2; exec "$@"' \
        sh "$(groups "$unit")" "$units/$unit.pid" "$@" </dev/null >"$units/$unit.log" 2>&1 &
    until [ -s "$units/$unit.pid" ]; do sleep 0.01; done
    ;;
systemctl)
    case $* in
    *MainPID*) alive "$unit" && echo "$pid" || echo 0 ;;
    *LoadState*) alive "$unit" && echo loaded || echo not-found ;;
    *is-active*) alive "$unit" ;;
    kill*) alive "$unit" && kill -9 "$pid" ;;
    stop*)
        if alive "$unit"; then
            kill -TERM "$pid"
            tries=0
            while alive "$unit" && [ $((tries += 1)) -lt 500 ]; do sleep 0.02; done
        fi
        forget "$unit"
        rm -f "$units/$unit.log"
        ;;
    esac
    ;;
journalctl)
    unit=${unit#--unit=}
    tail -n 50 "$units/$unit.log"
    ;;
esac
