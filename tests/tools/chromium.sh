#!/usr/bin/env bash
# Installs Debian's Chromium, if there is none.
set -euo pipefail
! command -v chromium >/dev/null || exit 0
echo "== installing Debian's chromium"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -q
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core
