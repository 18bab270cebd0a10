"""What benchmarks on a container share: a deployment of one small node."""

from __future__ import annotations

import tempfile
import typing as t
from contextlib import contextmanager
from pathlib import Path

from lab import Lab

NODE = "database"


@contextmanager
def container() -> t.Iterator[Lab]:
    """A deployment of one node on nspawn without a test script; its image is built, but nothing runs yet."""
    with tempfile.TemporaryDirectory() as directory:
        deployment = {"platform": "nspawn", "roles": {"proxy": 0, "backend": 0, NODE: [NODE]}}
        lab = Lab(Path(directory) / "bench", "web", deployment)
        lab.drop_test_script()
        try:
            lab.play("deploy", "--tags", "build", quiet=True)
            yield lab
        finally:
            lab.play("destroy", "-e", '{"compose_data": true}', quiet=True)
