# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that follow a git repository are brought to what they follow. PRIVATE to the collection.

Nodes whose role says how often they look are told to look now; to the others is pushed what this host fetches.
"""

from __future__ import annotations

import shlex
import typing as t
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from ..checks.follow import COMMIT, followed
from ..checks.waiting import watching
from ..errors import ComposeError
from ..model.deployment import Deployment
from ..model.follow import Follow, Followed, Follows, pushed
from ..model.result import NodeResult
from ..model.step import Diff, Fared
from ..nodes.connection import Connection, connect
from ..nodes.keys import Keys
from ..nodes.probe import FOLLOW, facts_of
from ..nodes.words import clean
from ..platforms.base import Platform, Tell, per_node
from ..repository import Repository
from .results import any_changed, failed
from .waves import Waves

if t.TYPE_CHECKING:
    from .engine import Engine

#: Nodes that are told at the same time; seconds for one to answer, and to take a revision.
PARALLEL, ANSWER, TAKEN = 32, 60.0, 600.0

_PULL = 'systemctl start "$(systemd-escape --path --template=compose-follow@.service {path})"'
#: URL, revision, and the secret that logs in.
_Key = tuple[str, str, str]


@dataclass
class _Fetched:
    """What a repository has, or why that is not known."""

    repository: Repository | None
    commit: str = ""
    archive: bytes = b""
    problem: str = ""
    #: Directories, and the commits that nodes had there before.
    before: set[tuple[str, str]] = field(default_factory=set)


def push(engine: Engine, *, pretend: bool) -> Fared:
    """Bring the directories of the batch to what they follow: within ``at_most``, and no further than to a failure.

    :param pretend: only say who is not there yet.
    :raises InputError: nothing was released yet.
    """
    kept = engine.releases.find("current")
    images = {node.name: kept.image(node.name, node.role) or "" for node in engine.nodes}
    rules = {node.name: engine.rules(node.role, images[node.name], kept) for node in engine.nodes}
    follows = {name: rule.follow for name, rule in rules.items() if rule.follow}
    nodes = dict.fromkeys(images, NodeResult())
    if not follows:
        engine.progress.say("config: no directory of these nodes follows a repository")
        return Fared(False, nodes, [])
    with engine.followers(ANSWER) as followers:
        followers.fetch(follows)
        waves = Waves(engine.deployment.at_most).cut([], list(follows), ())
        tell = engine.teller("config", follows)
        for number, wave in enumerate(waves, 1):
            nodes.update(followers.bring({name: follows[name] for name in wave}, tell, pretend=pretend))
            bad = [name for name in wave if not nodes[name].ok]
            if bad and number < len(waves):
                message = f"left as it was: {bad[0]} failed before its turn"
                later = [name for others in waves[number:] for name in others]
                nodes.update(dict.fromkeys(later, NodeResult(False, message=message, left=True)))
                break
        return Fared(any_changed(nodes), nodes, failed(nodes), followers.diffs())


class Followers:
    """The nodes of a deployment, and what is told to them.

    :param wait: seconds for a node to answer: it may be on its way up.
    """

    def __init__(self, deployment: Deployment, platform: Platform, keys: Keys, wait: float = ANSWER) -> None:
        self._deployment = deployment
        self._platform = platform
        self._keys = keys
        self._wait = wait
        self._fetched: dict[_Key, _Fetched] = {}
        self._waiting: dict[str, Connection] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Followers:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._closing.close()

    def fetch(self, follows: t.Mapping[str, Follows]) -> dict[str, str]:
        """Get what is pushed, each revision once; the nodes for which it cannot be had, and why.

        :param follows: by node.
        """
        problems = {}
        for name, directories in follows.items():
            for path, follow in pushed(directories).items():
                key = self._key(name, follow)
                if key not in self._fetched:
                    self._fetched[key] = self._fetch(name, follow, key[-1])
                if self._fetched[key].problem:
                    problems[name] = f"{path}: {self._fetched[key].problem}"
        return problems

    def _fetch(self, name: str, follow: Follow, secret: str) -> _Fetched:
        if follow.secret and not secret:
            why = self._deployment.unreadable.get(name, f"there is no secret {follow.secret!r}")
            return _Fetched(None, problem=f"{follow.repository}: {why}")
        self._platform.progress.say(f"config: fetching {follow.revision} of {follow.repository}")
        repository = Repository(follow.repository, secret)
        self._closing.callback(repository.close)
        found = _Fetched(repository)
        try:
            found.commit = repository.fetch(follow.revision)
            found.archive = repository.archive(found.commit)
        except ComposeError as error:
            found.problem = error.message
        return found

    def ask(self, names: t.Sequence[str]) -> dict[str, NodeResult]:
        """What nodes say that they are at."""

        def act(name: str) -> NodeResult:
            with self._connected(name) as connection:
                return NodeResult(
                    follow={path: told.revision for path, told in _ask(connection).items() if told.revision}
                )

        return per_node(names, act, lambda *told: None, step="config", parallel=PARALLEL)

    @contextmanager
    def _connected(self, name: str) -> t.Iterator[Connection]:
        node = self._deployment.node(name)
        connection = self._platform.shell(node) or connect(name, self._platform.endpoint(node), self._keys)
        try:
            self._waiting[name] = connection
            connection.open(self._wait)
            self._waiting.pop(name)
            yield connection
        finally:
            self._waiting.pop(name, None)
            connection.close()

    def bring(self, follows: t.Mapping[str, Follows], tell: Tell, *, pretend: bool = False) -> dict[str, NodeResult]:
        """Bring nodes to what was fetched.

        :param pretend: only say who is not there yet.
        """

        def act(name: str) -> NodeResult:
            with self._connected(name) as connection:
                return self._bring(name, connection, follows[name], pretend=pretend)

        with watching(self._platform, lambda: dict(self._waiting), self._platform.progress):
            return per_node(follows, act, tell, step="config", parallel=PARALLEL)

    def _bring(self, name: str, connection: Connection, follows: Follows, *, pretend: bool) -> NodeResult:
        before = _ask(connection)
        moved: list[str] = []
        wrong: list[str] = []
        revisions: dict[str, str] = {}
        for path, follow in follows.items():
            old = before.get(path)
            try:
                new = self._follow(connection, path, follow, old, self._fetched.get(self._key(name, follow)), pretend)
            except ComposeError as error:
                wrong.append(f"{path}: {error.message}")
                new = old.revision if old else ""
            if old and (new != old.revision or (old.differs and not wrong)):
                again = " again" if new == old.revision else ""
                moved.append(f"{path}: {_short(old.revision)} → {_short(new)}{again}")
            if new:
                revisions[path] = new
        return NodeResult(not wrong, bool(moved), "; ".join([*wrong, *moved]), follow=revisions)

    @staticmethod
    def _follow(
        connection: Connection, path: str, follow: Follow, old: Followed | None, fetched: _Fetched | None, pretend: bool
    ) -> str:
        """The commit that a directory is at then. :raises ComposeError: it is not what it should be, and why."""
        if old is None:
            raise ComposeError("the node does not say which revision it has")
        if fetched is None:
            done = None if pretend else connection.run(_PULL.format(path=shlex.quote(path)), TAKEN)
        elif fetched.problem:
            raise ComposeError(fetched.problem)
        elif old.revision == fetched.commit == old.seen and not old.differs:
            return old.revision
        else:
            fetched.before.add((path, old.revision))
            command = f"{FOLLOW} take {shlex.quote(path)} {fetched.commit}"
            done = None if pretend else connection.feed(command, fetched.archive, TAKEN)
        if done is None:
            return fetched.commit if fetched else old.revision
        now = _ask(connection)[path]
        if done.returncode != 0 or now.problem:
            words = now.problem or clean((done.stdout + done.stderr).decode("utf-8", "replace")).strip()
            raise ComposeError(words or f"exit code {done.returncode}")
        return now.revision

    def diffs(self) -> list[Diff]:
        """How what was fetched differs from what nodes had."""
        found = []
        for fetched in self._fetched.values():
            for path, old in sorted(fetched.before):
                texts = fetched.repository.changed(old, fetched.commit) if old and fetched.repository else {}
                before, after = (
                    "".join(f"{name}:\n{pair[side]}" for name, pair in sorted(texts.items())) for side in (0, 1)
                )
                found.append(
                    Diff(
                        f"{path} at {_short(old)}",
                        f"{path} at {_short(fetched.commit)}",
                        before or f"{_short(old)}\n",
                        after or f"{_short(fetched.commit)}\n",
                    )
                )
        return found

    def _key(self, name: str, follow: Follow) -> _Key:
        secrets = self._deployment.node(name).secrets
        return follow.repository, follow.revision, secrets.get(follow.secret, "") if follow.secret else ""


def _ask(connection: Connection) -> dict[str, Followed]:
    return followed(facts_of(connection.run(f"[ ! -x {FOLLOW} ] || {FOLLOW} report", ANSWER)))


def _short(commit: str) -> str:
    return commit[:COMMIT] or "nothing"
