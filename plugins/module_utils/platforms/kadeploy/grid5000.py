# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments by the API of Grid'5000. PRIVATE to the collection."""

from __future__ import annotations

import time
import typing as t

from ...errors import ComposeError
from ...libraries import missing_library
from ...model.answer import WrongAnswer, answer
from ...oar.grid5000 import MALFORMED
from .answers import Deployment, Listed, NodesOfSite
from .backend import Backend
from .outcome import UNKNOWN, Description, Failure, KadeployError, Order, Outcome, UnderWay

#: Where the API is, for whoever does not say.
URL = "https://api.grid5000.fr/stable"
#: Seconds for one call, and between two looks at a deployment.
_TIMEOUT, PITCH = 120.0, 10.0
#: Deployments that one call lists; as many as the API gives.
_LISTED = 500
#: While a deployment goes on.
_GOES_ON = ("waiting", "processing")
#: Kadeploy's words of an error that matter, or those of the API instead → its number, which the API does not pass on.
_NUMBERS = (
    ("no longer exists on the Kadeploy server", 1),
    ("Couldn't find Grid5000::Deployment", 1),
    ("Invalid node list", 2),
    ("Invalid file", 5),
    ("Error fetching the image description file", 5),
    ("sufficient rights", 6),
    ("Invalid environment specification", 7),
    ("All the nodes have been discarded", 14),
    ("Database issue", 20),
    ("Something went wrong with the cache system", 21),
    ("The cache is full", 22),
)

_T = t.TypeVar("_T")


class Publisher(t.Protocol):
    """Where the API finds descriptions: it takes none, but their addresses."""

    def publish(self, name: str, description: Description) -> str:
        """Have a description at an address, which says that name: the address."""

    def name_at(self, address: str) -> str:
        """The name that an address says; empty if it is another's."""


class Grid5000Api(Backend):
    """The deployments of a site, by the library ``python-grid5000``, which tries again what passes.

    :param site: its name, such as ``grenoble``.
    :param username: with ``password``; empty inside Grid'5000, where the API knows who calls.
    :param ca_file: certificates of the authorities that the API's own may be signed by; empty: those of this host.
    """

    def __init__(
        self,
        site: str,
        publisher: Publisher,
        username: str = "",
        password: str = "",
        url: str = URL,
        ca_file: str = "",
    ) -> None:
        try:
            import grid5000
            import requests
            from grid5000 import exceptions
        except ImportError:
            raise missing_library("grid5000", "requests", what="the API of Grid'5000") from None
        self._refused: type[Exception] = exceptions.Grid5000Error
        self._unanswered: type[Exception] = requests.RequestException
        self.where = f"the API of Grid'5000 at {url}"
        self._publisher = publisher
        client = grid5000.Grid5000(
            uri=url.rstrip("/"),
            username=username or None,
            password=password or None,
            verify_ssl=ca_file or None,
            timeout=_TIMEOUT,
        )
        self._site = self._call(f"to tell of the site {site!r}", lambda: client.sites[site])

    def nodes(self) -> list[str]:
        about = self._call("to list nodes", lambda: self._site.status.list().to_dict())
        return list(answer(NodesOfSite, about, self.where).nodes)

    def rehearse(self, order: Order) -> None:
        """The API has no dry run: what it refuses, it refuses when it deploys."""

    def deploy(self, order: Order) -> str:
        environment = self._publisher.publish(order.name, order.environment)
        body = {"nodes": list(order.nodes), "environment": environment, "partition_label": order.partition}
        body = {key: value for key, value in body.items() if value}
        what = f"the deployment of {len(order.nodes)} nodes"
        made = self._call(what, lambda: self._site.deployments.create(body).to_dict())
        return str(answer(Listed, made, self.where).uid)

    def under_way(self) -> list[UnderWay]:
        """Those of environments at addresses of ours; what has ended needs not be forgotten."""
        found = self._call(
            "to list deployments",
            lambda: [each.to_dict() for each in self._site.deployments.list(limit=_LISTED)],
        )
        ours = []
        for each in (answer(Listed, entry, self.where) for entry in found):
            name, uid = self._publisher.name_at(str(each.environment)), str(each.uid)
            if name and each.status in _GOES_ON:
                ours.append(UnderWay(uid, name, frozenset(self._about(uid).nodes), done=False))
        return ours

    def outcome(self, identifier: str, asked: t.Sequence[str]) -> Outcome | None:
        """What came of a deployment; ``None`` while it goes on."""
        about = self._about(identifier)
        if about.status in _GOES_ON:
            return None
        if about.status != "terminated":
            text = f"{about.status}: {about.output or 'no reason was given'}"
            error = KadeployError(f"the deployment {identifier}", _number(text), text)
            return Outcome(identifier, asked, error=error)
        result = about.result or {}
        ok = tuple(node for node, came in result.items() if came.state == "OK")
        ko = {node: came for node, came in result.items() if came.state == "KO"}
        failed = {node: Failure.read(str(came.error or "")) for node, came in ko.items()}
        return Outcome(identifier, asked, ok, failed)

    def _about(self, identifier: str) -> Deployment:
        what = f"to tell of the deployment {identifier}"

        def ask() -> t.Any:
            return self._site.deployments[identifier].to_dict()

        return answer(Deployment, self._call(what, ask), self.where)

    def wait(self, identifier: str, asked: t.Sequence[str], deadline: float) -> Outcome:
        end = time.monotonic() + deadline
        while True:
            outcome = self.outcome(identifier, asked)
            if outcome is not None:
                return outcome
            if time.monotonic() + PITCH > end:
                raise ComposeError(f"the deployment {identifier} has not ended within {deadline:.0f} s; it goes on")
            time.sleep(PITCH)

    def forget(self, identifier: str) -> None:
        """The API itself keeps what has ended."""
        try:
            if self.outcome(identifier, ()) is None:
                self._call(f"to cancel the deployment {identifier}", lambda: self._site.deployments.delete(identifier))
        except KadeployError as error:
            if error.code != UNKNOWN:
                raise

    def _call(self, what: str, call: t.Callable[[], _T]) -> _T:
        try:
            return call()
        except self._refused as error:
            text = str(getattr(error, "error_message", "") or error)
            code = _number(text) or int(getattr(error, "response_code", 0) or 0)
            raise KadeployError(what, code, text) from None
        except self._unanswered as error:
            raise ComposeError(f"{self.where} cannot be reached: {error}") from None
        except MALFORMED as error:
            raise WrongAnswer(f"{self.where} does not answer as it should {what}: {error}") from None


def _number(text: str) -> int:
    return next((number for words, number in _NUMBERS if words in text), 0)
