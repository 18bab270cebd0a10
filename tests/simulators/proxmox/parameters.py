"""Parameters of a call, as they travel, and the VMs that they are about."""

from __future__ import annotations

import json
import re
import typing as t
from urllib.parse import unquote


def decode_form(text: str) -> dict[str, t.Any]:
    """Parameters of a form, with the daemon's ways: ``;`` separates, too; a second ``=`` ends the value."""
    result: dict[str, t.Any] = {}
    for pair in re.split("[&;]", text):
        if not pair:
            continue
        words = pair.split("=")
        key = unquote(words[0].replace("+", " "))
        value = unquote(words[1].replace("+", " ")) if len(words) > 1 and words[1] else None
        if value is not None and key in result and result[key] is not None:
            old = result[key] if isinstance(result[key], list) else [result[key]]
            result[key] = [*old, value]
        else:
            result[key] = value
    return result


def decode_json(text: str) -> dict[str, t.Any]:
    """Parameters of a JSON object; numbers are text, as everywhere."""

    def plain(value: t.Any) -> t.Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if value is None or isinstance(value, bool | dict):
            return value
        return str(value)

    return {key: plain(value) for key, value in json.loads(text or "{}").items()}


def vmids_of(path: str, parameters: t.Mapping[str, t.Any]) -> set[int]:
    """The VMs that a call is about: in its path, and those that it makes or gives something to."""
    found = [*re.findall(r"/qemu/(\d+)", path), *(parameters.get(key) for key in ("vmid", "newid", "target-vmid"))]
    return {int(one) for one in found if isinstance(one, str) and one.isdigit()}
