"""Benchmarks ``variation`` and ``pack``: what it takes to build a role again of which one file has changed.

``variation`` is against the first build of the role, an object store of Ceph with its kernel: its packages are in the
store and have to be installed. ``pack`` is against ``mksquashfs`` alone, on the tree of the same image. From the change
to the finished image, evaluation included; in turns, and the median counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import ROOT

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

GOALS = {"variation": 0.15, "pack": 3}
ROUNDS = 3

COMPOSITION = """
{{ ... }}:
{{
  roles.osd = {{
    kernel = "linux-image-cloud-amd64";
    packages = [ "ceph-common" "ceph-osd" ];
    debconf = [ "bench bench/round string {round}" ];  # other answers: packages are installed anew
    files."/etc/ceph/ceph.conf".text = "[global]\\nosd_pool_default_size = 2\\n# {change}\\n";
    units."ceph-daemon.service".text = ''
      [Unit]
      Description=Object store
      [Service]
      ExecStart=/usr/bin/ceph-osd -f --cluster ceph --id 0
      [Install]
      WantedBy=multi-user.target
    '';
    volumes.osd = {{ mount = "/var/lib/ceph/osd"; size = 2048; user = "ceph"; group = "ceph"; }};
  }};
}}
"""


class Bench:
    """The role, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._composition = directory / "bench"
        self._composition.mkdir()
        self._builder = Debian(str(ROOT / "nix"), Progress())
        self._write("none", "none")
        self._builder.lock(str(self._composition), {})
        self._build()

    def _write(self, round_: str, change: str) -> None:
        (self._composition / "composition.nix").write_text(COMPOSITION.format(round=round_, change=change))

    def _build(self) -> Path:
        roots = str(self._directory / "roots")
        return Path(self._builder.build(str(self._composition), {}, ["osd"], ["root"], roots)["osd"].path("root"))

    def build(self, round_: str, change: str) -> tuple[float, Path]:
        """Seconds of a build after that change, and the image."""
        self._write(round_, change)
        begin = time.monotonic()
        image = self._build()
        return time.monotonic() - begin, image

    def pack(self, image: Path) -> float:
        """Seconds that it takes to write this image."""
        with tempfile.TemporaryDirectory(dir=self._directory) as name:
            tree, packed = Path(name) / "tree", Path(name) / "root.squashfs"
            quiet = ["-quiet", "-no-progress"]
            subprocess.run(["unsquashfs", *quiet, "-dest", str(tree), str(image)], check=True)
            level = ["-comp", "zstd", "-Xcompression-level", "5"]
            begin = time.monotonic()
            subprocess.run(["mksquashfs", str(tree), str(packed), *quiet, *level], check=True)
            return time.monotonic() - begin


def main() -> int:
    """Print the results; 0 if the goals are met."""
    with tempfile.TemporaryDirectory() as name:
        bench, started = Bench(Path(name)), time.time()
        first, changed, packed = [], [], []
        for number in range(ROUNDS):
            round_ = f"{started}-{number}"
            first.append(bench.build(round_, "none")[0])
            seconds, image = bench.build(round_, "one")
            changed.append(seconds)
            packed.append(bench.pack(image))
    build, variation, pack = (statistics.median(seconds) for seconds in (first, changed, packed))
    print(
        f"variation: first build {build:.1f} s, changed file {variation:.1f} s, mksquashfs {pack:.1f} s",
        file=sys.stderr,
    )
    ratios = {"variation": variation / build, "pack": variation / pack}
    for line, ratio in ratios.items():
        print(f"bench {line} {ratio:.2f} {GOALS[line]} {'met' if ratio <= GOALS[line] else 'short'}")
    return 0 if all(ratio <= GOALS[line] for line, ratio in ratios.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
