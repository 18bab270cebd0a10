"""What is in the root file system of an image that the builder debian made."""

from __future__ import annotations

import subprocess

from ansible_collections.immutable.compose.plugins.module_utils.images.layers import PACKAGES, ROLE


def content(squashfs: str, path: str) -> str | None:
    """Of a file, without the first slash; nothing if there is none. For what no role removes."""
    for layer in (f"{ROLE}/", f"{PACKAGES}/", ""):
        command = ["unsquashfs", "-cat", squashfs, layer + path]
        done = subprocess.run(command, check=False, capture_output=True, timeout=60)
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
    return None
