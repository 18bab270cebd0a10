# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked of OAR, by whatever way. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod

from .job import Job, OarError
from .request import Request


class Unanswered(OarError):
    """Nobody answered, or not to this user: whether something was done is not known."""


class NotAdmitted(OarError):
    """The user, or the password or key, is not accepted: asking again does not help."""


class Reservations(ABC):
    """The jobs of one user at one site.

    Every call but :meth:`submit` may be repeated. All raise :class:`Unanswered` where nobody answers,
    :class:`NotAdmitted` where the user is not accepted, and :class:`OarError` where OAR refuses.
    """

    #: Site and user, for messages.
    where: str
    #: Whose jobs these are.
    user: str

    @abstractmethod
    def jobs(self, user: str | None = None) -> list[Job]:
        """The jobs that have not ended, in order of their ids; of ``user``, if that is not one's own name."""

    @abstractmethod
    def job(self, id_: int) -> Job | None:
        """One job, ended or not; ``None`` if there is none of that id."""

    @abstractmethod
    def submit(self, request: Request) -> int:
        """Submit a job, and give its id."""

    @abstractmethod
    def extend(self, job: Job, more: int) -> None:
        """Ask for ``more`` seconds for a running job. It is given them some seconds later, or not."""

    @abstractmethod
    def release(self, job: Job) -> None:
        """Ask for the end of a job. It ends some seconds later; nothing happens if it has."""

    def named(self, name: str) -> list[Job]:
        """One's own jobs of that name that have not ended and are not going to."""
        return [job for job in self.jobs() if job.name == name and not job.ending]


def as_text(value: t.Any) -> str:
    """A value of an answer, where nothing is nothing."""
    return "" if value is None else str(value)


def innermost(error: BaseException) -> str:
    """Why a connection failed: those around the innermost reason say it again, at length."""
    while error.__context__ is not None:
        error = error.__context__
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
