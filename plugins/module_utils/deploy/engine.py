# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one deployment consists of, and what can be done with it besides changing its nodes. PRIVATE to the collection.

Knows no platform and no builder, only their interfaces. The change of nodes is :mod:`.transaction`.
"""

from __future__ import annotations

import os
import typing as t
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count

from ..builders.base import Builder
from ..builders.failures import with_failure
from ..builders.registry import BUILDERS
from ..builders.revision import Source
from ..checks.script import SCRIPT
from ..describe.held import HeldAddresses
from ..describe.load import MANIFEST, manifest
from ..errors import ComposeError, Failure, InputError, nearest
from ..files import read_json, write_json
from ..model import codec
from ..model.boot import Seen
from ..model.deployment import Beside, Deployment
from ..model.follow import Follows, pushed
from ..model.free import Parameters
from ..model.image import FORMATS, Image
from ..model.journal import Verified
from ..model.plan import Meaning
from ..model.release import Release
from ..model.result import NodeResult
from ..model.step import Built, Diff, Evaluated, Locked, Reproduced
from ..nodes.keys import Keys
from ..nodes.tools import write_tools
from ..platforms.base import Neighbour, Platform, endpoints
from ..platforms.registry import PLATFORMS
from ..progress import Progress
from .desired import Desired, What
from .documents import Documents
from .release import ReleaseStore
from .results import Tally
from .rollout import Rollout
from .service import Service

if t.TYPE_CHECKING:
    from ..checks.verify import Verification
    from .follow import Followers


@dataclass(frozen=True)
class Rules:
    """What *verified* means for a role, besides its image."""

    ports: tuple[int, ...] = ()
    may_fail: tuple[str, ...] = ()
    follow: Follows = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What a script of the user is given."""

    #: Its variables, besides those that each script has.
    values: Parameters = field(default_factory=dict)
    #: Seconds for the whole verification; null: what the deployment says.
    verify_timeout: int | None = None
    #: Whether the built-in checks come before it.
    checks: bool = True


class Engine:
    """One deployment, for the length of one step.

    :param batch: names of the nodes to act on; the others are peers.
    :param support: directory of the collection's data files (``nix/``) on this host.
    :param source: the composition, where it is not in the directory that the deployment names.
    :param absent: members of the deployment whose hosts the inventory of the run lacks.
    :param beside: other deployments on this host, which the run has planned before.
    :param carried: other deployment → nodes that are folded onto machines of this one, and that the run starts again
        once these are settled.
    :param addresses: that its nodes have; by default those in the state directory.
    """

    def __init__(
        self,
        deployment: Deployment,
        batch: t.Sequence[str],
        support: str,
        progress: Progress,
        source: Source | None = None,
        absent: t.Sequence[str] = (),
        beside: t.Sequence[Beside] = (),
        addresses: HeldAddresses | None = None,
        carried: t.Mapping[str, t.Collection[str]] | None = None,
    ) -> None:
        self.releases = ReleaseStore(deployment.state)
        if deployment.broken:  # its inventory may not have known where the nodes are
            deployment = self.releases.placed(deployment)
        platform: type[Platform] = _lookup(PLATFORMS, deployment.platform, "platform")
        self.platform = platform(deployment, progress)
        known = self.platform.addresses(deployment.nodes)
        if known:
            nodes = tuple(replace(node, address=known.get(node.name, node.address)) for node in deployment.nodes)
            deployment = replace(deployment, nodes=nodes)
            self.platform = platform(deployment, progress)
        self.platform.neighbours = [
            Neighbour(PLATFORMS[other.deployment.platform](other.deployment, progress), other.starts)
            for other in beside
            if other.deployment.platform in PLATFORMS
        ]
        self.deployment = deployment
        self.absent = absent
        self.carried = carried or {}
        #: Entered by a plan once nothing can be refused any more, or by what has to change something after all: the
        #: deployment is its run's then.
        self.claim: AbstractContextManager[t.Any] = nullcontext()
        self.act_on(batch)
        #: A step waits for a hook, and goes on when that has run.
        self.paused = False
        self.progress = progress
        self.state = deployment.state
        self.builder: Builder = _lookup(BUILDERS, deployment.builder, "builder")(
            support, progress, deployment.builder_options, trusted=deployment.trust
        )
        self.desired = Desired(deployment, self.builder, self.platform.formats, self.releases, source)
        self.keys = Keys(self.state)
        self.addresses = addresses or HeldAddresses.read(self.state)
        self.documents = Documents(deployment, self.platform, self.keys)

    def follow_machines(self) -> bool:
        """Whether nodes have other machines than before the switch, whose addresses their peers have to know."""
        addresses = self.platform.addresses(self.deployment.nodes)
        nodes = tuple(replace(node, address=addresses.get(node.name, node.address)) for node in self.deployment.nodes)
        if nodes == self.deployment.nodes:
            return False
        self.deployment = replace(self.deployment, nodes=nodes)
        self.act_on([node.name for node in self.nodes])
        self.documents = Documents(self.deployment, self.platform, self.keys)
        return True

    def act_on(self, batch: t.Collection[str]) -> None:
        """Another batch, which the run has planned for."""
        names = set(batch)
        self.nodes = [node for node in self.deployment.nodes if node.name in names]

    # -- compositions and images ---------------------------------------------------------------------------------

    def evaluated(self) -> Evaluated:
        """What ``composition.json`` has to say."""
        return Evaluated(False, manifest(self.desired.evaluate()))

    def write_evaluated(self, *, pretend: bool) -> Evaluated:
        """Write ``composition.json`` next to the composition, unless it is there as it is to be."""
        composition = manifest(self.desired.evaluate())
        data = codec.encode(composition)
        path = os.path.join(self.deployment.composition, MANIFEST)
        old = read_json(path) if os.path.exists(path) else None
        changed = _content(old) != _content(data)
        if changed and not pretend:
            write_json(path, data, mode=0o644)
        return Evaluated(changed, composition)

    def lock(self, *, write: bool) -> Locked:
        """Pin the inputs of every role."""
        path, old, new = self.builder.lock(self.desired.source.path, self.deployment.setup, write=write)
        return Locked(old != new, path, [Diff(path, path, old, new)] if old != new else [])

    def build(self, formats: t.Sequence[str], *, reproducible: bool) -> Built:
        """Build the images of all roles of the batch.

        :param formats: that a person asks for; by default those that the platform needs.
        :param reproducible: build each of them a second time; one that differs is an error.
        """
        unknown = [format_ for format_ in formats if format_ not in FORMATS]
        if unknown:
            raise InputError(f"formats has {unknown[0]!r}, expected known formats{nearest(unknown[0], FORMATS)}")
        roles = sorted({node.role for node in self.nodes})
        what = (self.desired.source.path, self.deployment.setup, roles, formats or self.platform.formats)
        before = self.builder.is_built(*what)
        images = self.builder.build(*what, self.releases.roots)
        if reproducible:
            self.require_reproducible(what)
        built = [role for role in images if not before[role]]
        return Built(bool(built), built, bundles(images))

    def require_reproducible(self, what: What) -> None:
        """:raises ComposeError: an image that is built a second time differs from the first."""
        differences = self.builder.check_reproducible(*what)
        different = {role: text for role, text in differences.items() if text}
        if different:
            error = ComposeError(
                "; ".join(f"the image of role {role!r} differs: {different[role]}" for role in different)
            )
            raise with_failure(error, Failure("not-reproducible", self.builder.name, error.message))

    def reproduce(self) -> Reproduced:
        """Build every image twice and compare: ``composition/role`` → what differs, empty if nothing does."""
        composition = self.desired.evaluate()
        what = self.desired.what(sorted(composition.roles))
        self.builder.build(*what, self.releases.roots)
        differences = self.builder.check_reproducible(*what)
        return Reproduced(False, {f"{composition.name}/{role}": text for role, text in sorted(differences.items())})

    # -- looking at nodes ----------------------------------------------------------------------------------------

    def ill(self, running: t.Mapping[str, str], meaning: Meaning) -> dict[str, str]:
        """Those of the nodes that are not well as they are now, and what is wrong. Nothing is waited for.

        :param running: node → identity of what it runs.
        """
        from ..checks.verify import ill_nodes  # with paramiko, which the other steps need not wait for

        found = ill_nodes(self._verification(running, meaning), self.progress)
        return {name: report.message for name, report in found.items()}

    def check(
        self,
        meant: t.Mapping[str, str],
        meaning: Meaning,
        test_script: str,
        name: str,
        ill: t.Collection[str] = (),
        *,
        settled: bool = True,
        alone: bool = True,
        given: Given | None = None,
    ) -> Verified:
        """Built-in checks, then the test script.

        :param meant: node → identity that it has to run.
        :param name: of the directory for the results.
        :param ill: nodes whose failure does not keep the test script from running.
        :param settled: nodes have to stay well for a while; not where they are verified later anyway.
        :param alone: this run has the deployment.
        :param given: to a script of the user.
        """
        from ..checks.verify import verify

        results = os.path.join(self.state, "results", name)
        stable_for = self.deployment.stable_for if settled else 0
        what = self._verification(meant, meaning, test_script, results, ill, stable_for)
        what = replace(what, alone=alone)
        if given is not None:
            within = given.verify_timeout or self.deployment.verify_timeout
            deployment = replace(self.deployment, verify_timeout=within)
            what = replace(what, deployment=deployment, values=given.values, facts=True)
        report = verify(what, self.progress)
        if not report.ok:
            self.progress.say(f"{name}: more of journals and consoles is in {results}/results.json")
        nodes = {
            node: NodeResult(
                each.ok,
                False,
                each.message,
                silent=not each.reached,
                follow=each.follow,
                unsealed=each.unsealed,
                evidence=each.evidence,
            )
            for node, each in report.nodes.items()
        }
        script = report.script if report.script and report.script.ran and not report.script.ok else None
        return Verified(
            nodes,
            passed=sum(check.ok for check in report.checks),
            failed=sum(not check.ok for check in report.checks),
            script=f"{SCRIPT}: {script.message}" if script else "",
            script_node=script.node if script else None,
            records=report.records,
            facts=report.facts,
        )

    def _verification(
        self,
        meant: t.Mapping[str, str],
        meaning: Meaning,
        test_script: str = "",
        results: str = "",
        ill: t.Collection[str] = (),
        stable_for: float = 0.0,
    ) -> Verification:
        from ..checks.verify import Verification

        nodes = [node for node in self.deployment.nodes if node.name in meant]
        rules = {what: self.rules(*what, meaning) for what in {(node.role, meant[node.name]) for node in nodes}}
        expected = {node.name: rules[node.role, meant[node.name]] for node in nodes}
        return Verification(
            deployment=self.deployment,
            platform=self.platform,
            keys=self.keys,
            identities=meant,
            ports={name: rules.ports for name, rules in expected.items()},
            may_fail={name: rules.may_fail for name, rules in expected.items()},
            follow={name: rules.follow for name, rules in expected.items()},
            ill=ill,
            test_script=test_script,
            stable_for=stable_for,
            results=results,
        )

    def rules(self, role: str, identity: str, meaning: Meaning | Release) -> Rules:
        """What a node with an image has to be: with another than is meant, what the release says that meant it."""
        rules: Meaning | Release | None = meaning
        if identity != meaning.images.get(role):
            rules = self.releases.with_image(role, identity)
        if rules is None:
            return Rules()
        return Rules(tuple(rules.ports.get(role, ())), tuple(rules.may_fail.get(role, ())), rules.follow.get(role, {}))

    # -- what the steps share ------------------------------------------------------------------------------------

    def rollout(self, meaning: Meaning, service: Service) -> Rollout:
        """Checks waves by the built-in checks only: the test script is about the whole."""

        def check(images: t.Mapping[str, str], name: str) -> dict[str, NodeResult]:
            verified = self.check(images, meaning, "", self._unused(name), settled=False)
            return {node: result for node, result in verified.nodes.items() if not result.ok}

        def follow(images: t.Mapping[str, str]) -> dict[str, str]:
            nodes = [self.deployment.node(name) for name in images]
            directories = {
                node.name: pushed(self.rules(node.role, images[node.name], meaning).follow) for node in nodes
            }
            return self._give({name: each for name, each in directories.items() if each})

        return Rollout(self.deployment, self.platform, self.progress, check, follow, service)

    def _unused(self, name: str) -> str:
        """A name for results beside those of the waves and rounds before."""
        names = (f"{name}-{number}" if number > 1 else name for number in count(1))
        return next(each for each in names if not os.path.exists(os.path.join(self.state, "results", each)))

    def _give(self, follows: t.Mapping[str, Follows]) -> dict[str, str]:
        """Push to nodes that boot what they follow: those for which that failed, and why."""
        if not follows:
            return {}
        with self.followers(self.deployment.boot_timeout) as followers:
            followers.fetch(follows)
            outcomes = followers.bring(follows, self.teller("config", follows))
        return {name: outcome.message for name, outcome in outcomes.items() if not outcome.ok}

    def followers(self, wait: float) -> Followers:
        """Those who are told what directories follow. :param wait: seconds for a node to answer."""
        from .follow import Followers  # with paramiko, which most steps do without

        return Followers(self.deployment, self.platform, self.keys, wait)

    def write_access(self) -> None:
        """``ssh_config`` and ``known_hosts``, and what people's tools need, for every node that has an address."""
        with self.progress.waiting(lambda: f"writing {self.keys.known_hosts_file}"):
            reach = endpoints(self.platform)
            self.keys.write_access(reach)
            roles: dict[str, list[str]] = {}
            for node in self.deployment.nodes:
                if node.name in reach:
                    roles.setdefault(node.role, []).append(node.name)
            write_tools(self.deployment.state, self.deployment.name, roles)

    def take_new_keys(self) -> None:
        """From now on, those are used, and documents let only them in."""
        self.keys = self.keys.take_new()
        self.documents = Documents(self.deployment, self.platform, self.keys)

    def prune(self) -> None:
        """Forget releases beyond those to keep, and images that nothing needs."""
        needed = self.releases.prune(self.deployment.keep)
        needed |= self.used(self.platform.observe(self.nodes))
        self.platform.prune(needed)
        self.releases.drop_roots(needed)

    @staticmethod
    def used(observed: t.Mapping[str, Seen]) -> set[str]:
        """Identities of the images that nodes run, or may go back to."""
        return {identity for seen in observed.values() for identity in (seen.identity, seen.verified) if identity}

    def teller(self, step: str, nodes: t.Sized) -> Tally:
        """Says how each of the nodes fares in a step."""
        return Tally(self.progress, step, "done", len(nodes))


def _content(data: object) -> object:
    """A ``composition.json`` without where it was written, which is another place in each checkout, and after what."""
    return (
        {key: value for key, value in data.items() if key not in ("path", "revision")}
        if isinstance(data, dict)
        else data
    )


def bundles(images: t.Mapping[str, Image]) -> dict[str, str]:
    """Where images are, by role."""
    return {role: image.bundle for role, image in images.items()}


def _lookup(registry: t.Mapping[str, t.Any], name: str, what: str) -> t.Any:
    if name not in registry:
        raise InputError(f"unknown {what} {name!r}{nearest(name, registry)}")
    return registry[name]
