# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that follow a git repository, as compositions may have them. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from .reserved import is_below, not_a_file

#: What a repository is reached by. Others of git's own (``ext::``) run commands.
_SCHEMES = ("https", "http", "ssh", "git", "file")
#: ``[user@]host:path``, as git has it for SSH.
_SCP = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*:(?!/?/)[^\s:]+")
#: What git lets no name of a branch or tag have, and what it would take for an option or for an expression.
_NO_NAME = re.compile(r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|/\.|^@$|(?:/|\.|\.lock)$|\.lock/")
#: Part of a commit's name: which commit that is changes with what else there is.
_SHORTENED = re.compile(r"[0-9a-f]{7,39}|[0-9A-Fa-f]{40}(?<![0-9a-f]{40})")
#: Units have the path in their name, commands have it without quotes.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")


def not_a_repository(url: str) -> str | None:
    """Why this is no URL of a repository that nodes may follow; ``None`` if it is."""
    expected = "expected https://…, ssh://…, git://…, file:///… or user@host:path"
    if "://" not in url:
        return None if _SCP.fullmatch(url) else expected
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        return f"{error}; {expected}"
    if parts.password is not None:
        return "has a password, which everybody may read in the image: name a secret"
    local = parts.scheme == "file"
    host = not parts.netloc if local else re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc.rpartition("@")[2])
    well = parts.scheme in _SCHEMES and host and len(parts.path) > 1 and not re.search(r"[\s\x00-\x1f\x7f]", url)
    return None if well and not (parts.query or parts.fragment) else expected


def not_a_revision(name: str) -> str | None:
    """Why this is no branch, tag or commit that nodes may follow; ``None`` if it is."""
    if _SHORTENED.fullmatch(name):
        return "is a part of a commit's name, expected all 40 digits, in lower case"
    if not name or _NO_NAME.search(name):
        return "is not the name of a branch or tag"
    return None


def follow_errors(name: str, role: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """What a schema cannot say of the directories of a role that follow a repository.

    :param name: of the role.
    :param role: its attributes, of the right types.
    """
    follow = role.get("follow", {})
    for path, settings in follow.items():
        where = f'roles.{name}.follow."{path}"'
        refused = not_a_file(path) or (
            None if _PLAIN.fullmatch(path) else "has characters other than letters, digits, _, . and -"
        )
        if refused:
            yield f"{where}: {refused}"
        for key, why in (
            ("repository", not_a_repository(settings["repository"])),
            ("revision", not_a_revision(settings["revision"])),
        ):
            if why:
                yield f"{where}.{key}: {_shown(settings[key])} {why}"
        if settings.get("check") and "%s" not in settings["check"]:
            yield f"{where}.check: {settings['check']!r} has no %s, which stands for the directory to be checked"
        if settings.get("secret") and not re.match(r"(?:https|http|ssh)://|(?!\w+://)", settings["repository"]):
            yield f"{where}.secret: nobody logs in to {settings['repository'].partition(':')[0]}://"
        yield from (f"{where}: is over {other}, which follows a repository, too" for other in _inside(path, follow))
        yield from (
            f'roles.{name}.files."{file}": {path} has nothing but what is in its repository'
            for file in _inside(path, role.get("files", {}), itself=True)
        )
        for volume, settings in role.get("volumes", {}).items():
            if is_below(settings["mount"], path) or is_below(path, settings["mount"]):
                yield f"{where}: the volume {volume!r} is mounted at {settings['mount']}"


def _shown(value: str) -> str:
    """A value without a password that somebody may have written into it."""
    return repr(re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:********@", value))


def _inside(path: str, paths: t.Iterable[str], *, itself: bool = False) -> list[str]:
    """Those at or below a path, but for that very word."""
    return [other for other in paths if is_below(other, path) and (itself or other != path)]
