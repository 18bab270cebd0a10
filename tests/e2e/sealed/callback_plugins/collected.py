# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what came of each task on each host to the file that the environment names, one JSON document per line."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "collected"

    def _write(self, result: t.Any, state: str) -> None:
        task = result._task if hasattr(result, "_task") else result.task
        host = result._host if hasattr(result, "_host") else result.host
        data = result._result if hasattr(result, "_result") else result.result
        results = data.get("results") if isinstance(data.get("results"), list) else [data]
        entry = {
            "host": host.name,
            "task": task.name,
            "state": state,
            "said": [str(each.get("msg")) for each in results],
        }
        with open(os.environ["COLLECTED"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write(result, "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write(result, "failed")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._write(result, "skipped")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._write(result, "unreachable")
