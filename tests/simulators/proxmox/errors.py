"""Errors in the words and shapes of the Proxmox VE API."""

from __future__ import annotations

import typing as t

#: Answered where a digest is not that of the file.
MODIFIED = "detected modified configuration - file changed by other user? Try again."


class ApiError(Exception):
    """What a call or a task dies of.

    :param message: without the final line feed, which is added as the daemon does
    :param code: HTTP status; ``None`` is an ordinary ``die``, which is answered as 500
    :param errors: parameter → text
    """

    def __init__(self, message: str, code: int | None = None, errors: t.Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message if message.endswith("\n") else message + "\n"
        self.code = code
        self.errors = dict(errors) if errors else None

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.code or 500

    def __str__(self) -> str:
        """As an exception is printed into a task log: code, message, one line for each parameter."""
        text = f"{self.code} {self.message}" if self.code else self.message
        for key, error in (self.errors or {}).items():
            text += f"{key}: {error}\n"
        return text

    @property
    def exitstatus(self) -> str:
        """The exit status of a task that dies of this, on one line."""
        return str(self).removesuffix("\n").replace("\n", " ")


class FormatError(ApiError):
    """A property string that does not have its format; the schema reports it for one parameter."""


def parameter_error(errors: t.Mapping[str, str]) -> ApiError:
    """400 with a text for each parameter."""
    return ApiError("Parameter verification failed.", 400, errors)


def permission_error(what: str = "") -> ApiError:
    """403, naming path and privilege where they are told."""
    return ApiError(f"Permission check failed ({what})" if what else "Permission check failed", 403)
