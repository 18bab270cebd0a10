"""Stands for Guix where there is none: answers as Guix 1.5.0 does, from a store of its own in $STORE.

It notes each call. $SAYS: what it says on standard error; $CODE: how it ends then, besides for `gc`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path

store = Path(os.environ["STORE"])
arguments = sys.argv[1:]
with open(store.parent / "calls", "a") as stream:
    called = {"arguments": arguments, "setup": os.environ.get("COMPOSE_SETUP"), "lc_all": os.environ.get("LC_ALL")}
    called |= {"socket": os.environ.get("GUIX_DAEMON_SOCKET"), "cwd": os.getcwd()}
    stream.write(json.dumps(called) + "\n")

if arguments[0] == "time-machine":
    arguments = arguments[arguments.index("--") + 1 :]


def derivation(name: str, content: str) -> Path:
    digest = hashlib.sha256((name + content).encode()).hexdigest()[:32]
    path = store / f"{digest}-{name}.drv"
    path.write_text(f'Derive([("out","{store}/{digest}-{name}","","")],[],[],"x86_64-linux","builder",[],[])')
    return path


def output(path: str | Path) -> str:
    return re.search(r'"out","([^"]+)"', Path(path).read_text())[1]


if arguments[0] == "gc":
    if arguments[1] == "--requisites":
        given = Path(arguments[2])
        print(given)
        if given.suffix == ".drv":
            print((store / f"{given.name}.system").read_text())
        else:
            print(store / ("b" * 32 + "-hello-2.12.1"))
    sys.exit(0 if Path(arguments[2]).exists() else 1)

print(os.environ.get("SAYS", ""), file=sys.stderr)
if os.environ.get("CODE", "0") != "0":
    sys.exit(int(os.environ["CODE"]))

if arguments[:2] == ["system", "image"]:
    expression = re.sub(' "(efi-raw|qcow2-gpt)"', "", arguments[arguments.index("-e") + 1])
    kind = arguments[arguments.index("-t") + 1]
    meant = expression + os.environ["COMPOSE_SETUP"] + str([each for each in arguments if each.startswith("--target")])
    family = "container" if kind == "docker" else "disk" if kind in ("qcow2", "mbr-raw") else kind
    image = derivation(f"image.{kind}", meant)
    (store / f"{image.name}.system").write_text(str(derivation("system", family + meant)))
    print(image)
elif arguments[0] == "build":
    for each in arguments:
        if each.startswith("--root="):
            os.symlink(output(arguments[-1]), each[len("--root=") :])
        if each.endswith("-system.drv"):
            Path(output(each)).mkdir(exist_ok=True)
            (Path(output(each)) / "compose-numbers").write_text("user root 0\nuser sshd 989\ngroup root 0\n")
            print(output(each))
        elif each.endswith(".drv"):
            Path(output(each)).write_text("image")
            print(output(each))
elif arguments[0] == "describe":
    print(os.environ["CHANNELS"])
else:
    sys.exit(f"guix: {arguments[0]}: command not found")
