# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test scripts ask systemd of a node. PRIVATE to the collection."""

from __future__ import annotations

import shlex

from .commands import CheckFailed, Commands
from .deadline import TriedLongEnough


class Units(Commands):
    """Units of one node."""

    def systemctl(self, q: str, user: str | None = None) -> tuple[int, str]:
        """Run ``systemctl q``, for a user with ``--user``."""
        return self._systemctl(q, user, 900)

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        """The properties of a unit, from ``systemctl show``."""
        return self._show(f'"{unit}"', user, 900)

    def get_unit_property(self, unit: str, property: str, user: str | None = None) -> str:
        """One property of a unit."""
        return self._property(unit, property, user, 900)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Fail unless the unit is in that state now."""
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise self._unit_failed(f'unit "{unit}" is in state "{state}", expected "{require_state}"', unit)

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: float = 900) -> None:
        """Wait until a unit is active. Fails at once if it failed, or is inactive and nothing is about to start it."""

        def is_active(left: float) -> bool:
            state = self._property(unit, "ActiveState", user, left)
            if state == "failed":
                raise self._unit_failed(f'unit "{unit}" reached state "failed"', unit, user)
            if state == "inactive":
                dummy, jobs = self._systemctl("list-jobs --full 2>&1", user, left)
                # Asked again: it may have become active in between.
                if "No jobs" in jobs and self._property(unit, "ActiveState", user, left) == state:
                    message = f'unit "{unit}" is inactive and there are no pending jobs'
                    raise self._unit_failed(message, unit, user)
            return state == "active"

        try:
            self._retry(f"waiting for unit {unit}", is_active, timeout)
        except TriedLongEnough as error:
            raise self._unit_failed(f'waiting for unit "{unit}": {error.message}', unit, user) from None

    def start_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        """``systemctl start``."""
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        """``systemctl stop``."""
        return self.systemctl(f"stop {jobname}", user)

    def _systemctl(self, q: str, user: str | None, timeout: float) -> tuple[int, str]:
        if user is None:
            return self.execute(f"systemctl {q}", timeout=timeout)
        inner = f"XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user {q}"
        return self.execute(f"su -l {shlex.quote(user)} --shell /bin/sh -c {shlex.quote(inner)}", timeout=timeout)

    def _show(self, arguments: str, user: str | None, timeout: float) -> dict[str, str]:
        code, lines = self._systemctl(f"--no-pager show {arguments}", user, timeout)
        if code != 0:
            raise CheckFailed(f"systemctl show {arguments} failed with exit code {code}", self.name, output=lines)
        return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)

    def _property(self, unit: str, property: str, user: str | None, timeout: float) -> str:
        info = self._show(f'"{unit}" --property="{property}"', user, timeout)
        if property not in info:
            raise CheckFailed(f'unit "{unit}" has no property "{property}"', self.name)
        return info[property]

    def _unit_failed(self, message: str, unit: str, user: str | None = None) -> CheckFailed:
        dummy, status = self.systemctl(f'--no-pager --lines=20 status "{unit}" 2>&1', user)
        return CheckFailed(message, self.name, command=f"systemctl status {unit}", output=status)
