"""Models of processors: which there are, the schema of the API tells where one's own are made."""

from __future__ import annotations

import re
import typing as t

from .errors import FormatError
from .formats import PROPERTIES, Properties

#: Models of Proxmox itself; the others are QEMU's.
BUILTIN = ("x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4")


def checker(custom: Properties) -> t.Callable[[dict[str, str]], None]:
    """A check of ``cpu`` of a VM, made from the parameters of the call that makes a model of one's own."""
    PROPERTIES["pve-vm-cpu-conf"]["reported-model"]["enum"] = custom["reported-model"]["enum"]
    models = {*BUILTIN, *custom["reported-model"]["enum"]}
    flags = custom["flags"]["description"].rpartition("security reasons: ")[2]
    flag = "[+-](?:" + "|".join(map(re.escape, flags.split(", "))) + ")"

    def check(cpu: dict[str, str]) -> None:
        model = cpu.get("cputype")
        if model in (None, "", "0"):
            raise FormatError("CPU is missing cputype")
        if model.startswith("custom-"):
            raise FormatError(f"Custom cputype '{model.removeprefix('custom-')}' not found")
        if model not in models:
            raise FormatError(f"Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)")
        if cpu.get("flags") and not re.fullmatch(f"{flag}(;{flag})*", cpu["flags"]):
            raise FormatError(f"VM-specific CPU flags must be a subset of: {flags}")
        if "reported-model" in cpu:
            raise FormatError("Property 'reported-model' not allowed in VM-specific CPU config.")

    return check
