"""Where the server keeps the files that it fetches for workflows: bytes, which may not be enough."""

from __future__ import annotations

import threading

from .errors import CACHE, CACHE_FULL, KadeployError

#: A file of whoever has it: anonymous ones are a workflow's own.
Key = tuple[str, ...]


class Cache:
    """:param most: bytes that it holds; 0: as many as are asked for"""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        #: File → its bytes, and the workflows that use it: others make room.
        self._used: dict[Key, tuple[int, set[str]]] = {}

    def take(self, key: Key, size: int, wid: str) -> None:
        """A workflow uses a file from now on."""
        if not self._most:
            return
        uri = key[0]
        if size > self._most:
            raise KadeployError(CACHE, f"Impossible to cache the file '{uri}', the file is too big for the cache")
        with self._lock:
            users = self._used.get(key, (0, set()))[1]
            if not users and size > self._most - sum(bytes_ for bytes_, _users in self._used.values()):
                raise KadeployError(CACHE_FULL, f"Cache is full: impossible to cache the file '{uri}'")
            self._used[key] = (size, users | {wid})

    def free(self, wid: str) -> None:
        """A workflow has ended."""
        with self._lock:
            left = {key: (size, users - {wid}) for key, (size, users) in self._used.items()}
            self._used = {key: (size, users) for key, (size, users) in left.items() if users}
