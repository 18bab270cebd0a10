# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: observe → plan → build → stage → switch → verify → commit or revert. PRIVATE to the collection.

Knows no platform and no builder, only their interfaces. Each step takes what the plan said as plain data, so that the
steps may run as separate tasks, and each may be repeated after a run was killed in the middle of it.
"""

from __future__ import annotations

import os
import time
import typing as t

from ..builders.base import Builder
from ..builders.failures import Failure, with_failure
from ..builders.registry import BUILDERS
from ..builders.revision import Source
from ..composition.load import MANIFEST, to_manifest
from ..composition.model import Deployment
from ..composition.names import nearest
from ..errors import ComposeError, InputError
from ..files import read_json, write_json
from ..images.image import FORMATS, Image
from ..images.packages import versions
from ..platforms.base import Observation, Outcome, Platform, Target, endpoints
from ..platforms.registry import PLATFORMS
from ..progress import Progress
from ..ssh.keys import Keys
from .desired import Desired
from .documents import Documents
from .plan import SWITCHED, Step, as_data, plan_node, render
from .release import Release, ReleaseStore, describe
from .rollout import Rollout
from .waves import Waves, out_of_service

Result = dict[str, t.Any]

#: Nodes that a summary for people names.
SHOWN = 30


class Engine:
    """One deployment, for the length of one step.

    :param batch: names of the nodes to act on; the others are peers.
    :param support: directory of the collection's data files (``nix/``) on this host.
    :param source: the composition, where it is not in the directory that the deployment names.
    """

    def __init__(
        self,
        deployment: Deployment,
        batch: t.Sequence[str],
        support: str,
        progress: Progress,
        source: Source | None = None,
    ) -> None:
        self.deployment = deployment
        self.nodes = [node for node in deployment.nodes if node.name in set(batch)]
        self.progress = progress
        self.state = deployment.state
        self.platform: Platform = _lookup(PLATFORMS, deployment.platform, "platform")(deployment, progress)
        self.builder: Builder = _lookup(BUILDERS, deployment.builder, "builder")(
            support, progress, deployment.builder_options
        )
        self.releases = ReleaseStore(self.state)
        self.desired = Desired(deployment, self.builder, self.platform.formats, self.releases, source)
        self.keys = Keys(self.state)
        self.documents = Documents(deployment, self.platform, self.keys)

    # -- plan ----------------------------------------------------------------------------------------------------

    def plan(self, *, release: str | None = None, retire: bool = False, predict: bool = False) -> Result:
        """What has to happen, without doing it.

        :param release: instead of what the composition means now: the number of a kept release, ``current``, or
            ``previous``.
        :param retire: also list nodes that exist but are no longer part of the deployment.
        :param predict: say ``changed`` if anything has to happen: Ansible shows a diff only then.
        """
        kept = None if release is None else self.releases.find(release)
        desired = self.desired.composed(self._roles()) if kept is None else self.desired.released(kept, self._roles())
        self.platform.check(self.nodes)
        observed = self.platform.observe(self.nodes)
        steps: dict[str, Step] = {}
        unreadable = [node for node in self.nodes if node.name in self.deployment.unreadable]
        # Only nodes that exist have a document to compare with: planning a new node writes no key.
        known = [node for node in self.nodes if observed[node.name].state != "absent"]
        digests = self.documents.digests([node for node in known if node.name not in self.deployment.unreadable])
        for node in self.nodes:
            seen = observed[node.name]
            digest = digests.get(node.name, seen.document or "")
            steps[node.name] = plan_node(node, desired["images"][node.role], digest, seen)
        for node in unreadable:
            self.progress.say(
                f"plan {node.name}: its document is not compared: {self.deployment.unreadable[node.name]}"
            )
        if retire:
            members = {node.name for node in self.deployment.nodes}
            for name, seen in sorted(observed.items()):
                if name not in members and seen.state != "absent":
                    steps[name] = Step("retire", "", None, seen.identity, ["not part of the deployment any more"])
        changes = self.desired.package_changes(steps.values(), desired["packages"])
        pending = any(step.action != "keep" for step in steps.values()) or bool(unreadable)
        return {
            "changed": predict and pending,
            "images": desired["images"],
            "release": kept.number if kept else None,
            "composition": desired["composition"],
            "steps": as_data(steps),
            "waves": self._waves(steps, observed),
            "pending": pending,
            "settled": not pending and self._is_settled(observed),
            "packages": changes,
            "diff": render(steps, changes),
            "current_release": describe(self.releases.current()),
        }

    def _waves(self, steps: t.Mapping[str, Step], observed: t.Mapping[str, Observation]) -> list[list[str]]:
        """Names of the nodes to be switched, as they go down together."""
        batch = [node.name for node in self.nodes]
        switched = [name for name in batch if steps[name].action in SWITCHED]
        running = [name for name in switched if observed[name].state == "running"]
        idle = [name for name in switched if observed[name].state != "running"]
        return Waves(self.deployment.at_most).cut(idle, running, out_of_service(observed, batch))

    def _is_settled(self, observed: t.Mapping[str, Observation]) -> bool:
        """Whether there is nothing to mark as verified and nothing to clean up: what a killed or failed run leaves."""
        return (
            all(observed[node.name].verified == observed[node.name].identity for node in self.nodes)
            and not any(seen.leftovers for seen in observed.values())
            and self.releases.is_tidy(self.deployment.keep, _used(observed))
        )

    def _roles(self) -> list[str]:
        return sorted({node.role for node in self.nodes})

    def evaluated(self, *, write: bool) -> Result:
        """``composition.json``; with ``write`` also as a file next to the composition."""
        data = to_manifest(self.desired.evaluate())
        path = os.path.join(self.deployment.composition, MANIFEST)
        old = read_json(path) if os.path.exists(path) else None
        changed = write and old != data
        if changed:
            write_json(path, data, mode=0o644)
        return {"changed": changed, "composition": data}

    def lock(self, *, write: bool) -> Result:
        """Pin the inputs of every role."""
        path, old, new = self.builder.lock(self.desired.source.path, self.deployment.setup, write=write)
        diff = {"before_header": path, "after_header": path, "before": old, "after": new}
        return {"changed": old != new, "path": path, "diff": [diff] if old != new else []}

    # -- build and stage -----------------------------------------------------------------------------------------

    def build(self, plan: t.Mapping[str, t.Any], *, reproducible: bool = False) -> Result:
        """Build the images that the plan needs; those of a kept release exist already.

        :param reproducible: build each of them a second time; one that differs is an error.
        """
        roles = sorted({step["role"] for step in plan["steps"].values() if step["action"] in SWITCHED})
        if plan["release"] is not None or not roles:
            return {"changed": False, "built": [], "bundles": {}}
        before = self.builder.is_built(*self.desired.what(roles))
        images = self.builder.build(*self.desired.what(roles), self.releases.roots)
        for role, image in images.items():
            if image.identity != plan["images"][role]:
                raise ComposeError(
                    f"role {role!r}: built {image.identity}, planned {plan['images'][role]}: "
                    "the composition changed meanwhile; run again"
                )
        built = [role for role in roles if not before[role]]
        if reproducible:
            self._require_reproducible(roles)
        # Some builders tell only now what is inside; the plan has shown the rest.
        now = {role: versions(image.packages) for role, image in images.items() if role not in plan["packages"]}
        changes = self.desired.package_changes((Step(**step) for step in plan["steps"].values()), now)
        return {
            "changed": bool(built),
            "built": built,
            "bundles": _bundles(images),
            "packages": changes,
            "diff": render({}, changes),
        }

    def build_formats(self, formats: t.Sequence[str]) -> Result:
        """Build the images of all roles of the batch in formats that a person asks for, not the platform."""
        unknown = [format_ for format_ in formats if format_ not in FORMATS]
        if unknown:
            raise InputError(f"formats has {unknown[0]!r}, expected known formats{nearest(unknown[0], FORMATS)}")
        what = (self.desired.source.path, self.deployment.setup, self._roles(), formats)
        before = self.builder.is_built(*what)
        images = self.builder.build(*what, self.releases.roots)
        built = [role for role in images if not before[role]]
        return {"changed": bool(built), "built": built, "bundles": _bundles(images)}

    def _require_reproducible(self, roles: t.Sequence[str]) -> None:
        differences = self.builder.check_reproducible(*self.desired.what(roles))
        different = {role: text for role, text in differences.items() if text}
        if different:
            error = ComposeError(
                "; ".join(f"the image of role {role!r} differs: {different[role]}" for role in different)
            )
            raise with_failure(error, Failure("not-reproducible", self.builder.name, error.message))

    def stage(self, plan: t.Mapping[str, t.Any]) -> Result:
        """Bring to the platform what the nodes to be switched are going to boot."""
        for node in self.nodes:
            self.documents.require_secrets(node)
        targets = self._targets(plan)
        return {"changed": self.platform.stage(targets) if targets else False}

    def _targets(self, plan: t.Mapping[str, t.Any]) -> list[Target]:
        """The nodes that the plan switches, with image and document."""
        nodes = [node for node in self.nodes if plan["steps"][node.name]["action"] in SWITCHED]
        images = {role: self.releases.image(plan["images"][role]) for role in {node.role for node in nodes}}
        return self.documents.targets(nodes, images)

    def reproduce(self) -> Result:
        """Build every image twice and compare: ``composition/role`` → what differs, empty if nothing does."""
        composition = self.desired.evaluate()
        what = self.desired.what(sorted(composition.roles))
        self.builder.build(*what, self.releases.roots)
        differences = self.builder.check_reproducible(*what)
        return {"images": {f"{composition.name}/{role}": text for role, text in sorted(differences.items())}}

    # -- switch --------------------------------------------------------------------------------------------------

    def switch(self, plan: t.Mapping[str, t.Any]) -> Result:
        """Boot the planned images; tell running nodes their new peers."""
        targets = {target.node.name: target for target in self._targets(plan)}
        self.write_access()
        waves = [[targets[name] for name in wave if name in targets] for wave in plan["waves"]]
        outcomes = self._rollout(plan["composition"]).switch([wave for wave in waves if wave])
        refresh = [node for node in self.nodes if plan["steps"][node.name]["action"] == "refresh"]
        outcomes.update(self.documents.refresh(refresh))
        self.write_access()  # some platforms know an address only now
        return {**_per_node(outcomes), "diff": plan.get("diff", [])}

    def _rollout(self, composition: t.Mapping[str, t.Any]) -> Rollout:
        """Checks waves by the built-in checks only: the test script is about the whole."""

        def check(images: t.Mapping[str, str], name: str) -> dict[str, str]:
            report = self._verify(images, composition, "", name)
            return {node: report["nodes"][node]["message"] for node in report["failed_nodes"]}

        return Rollout(self.deployment, self.platform, self.progress, check)

    def write_access(self) -> None:
        """``ssh_config`` and ``known_hosts`` for every node of the deployment that has an address."""
        with self.progress.waiting(lambda: f"writing {self.keys.known_hosts_file}"):
            self.keys.write_access(endpoints(self.platform))

    # -- verify, commit, revert ----------------------------------------------------------------------------------

    def verify(self, plan: t.Mapping[str, t.Any], *, skip: t.Collection[str] = ()) -> Result:
        """Identity, units, ports of the batch, then the test script.

        :param skip: nodes that could not even be switched.
        """
        composition = plan["composition"]
        nodes = [node for node in self.nodes if node.name not in skip]
        return self._verify(
            {node.name: plan["images"][node.role] for node in nodes},
            composition,
            "" if skip else composition["test_script"],
            "verify",
        )

    def _verify(
        self, images: t.Mapping[str, str], composition: t.Mapping[str, t.Any], test_script: str, name: str
    ) -> Result:
        from ..checks.verify import Verification, verify  # with paramiko, which the other steps need not wait for

        results = os.path.join(self.state, "results", name)
        report = verify(
            Verification(
                deployment=self.deployment,
                platform=self.platform,
                keys=self.keys,
                identities=images,
                ports={node.name: tuple(composition["ports"].get(node.role, ())) for node in self.deployment.nodes},
                test_script=test_script,
                results=results,
            ),
            self.progress,
        )
        result = report.to_result()
        for node in result["failed_nodes"]:
            result["nodes"][node]["message"] += f" (journal and console: {results}/results.json)"
        return result

    def commit(self, plan: t.Mapping[str, t.Any], checks: t.Mapping[str, int]) -> Result:
        """The batch is verified: :meth:`revert` returns to it from now on. Retire what has no place any more.

        After a settled plan the platform is asked nothing and told nothing. What a new release makes superfluous is
        found by the next plan, which is not settled then.
        """
        settled = plan["settled"]
        observed = {} if settled else self.platform.observe(self.nodes)
        unmarked = [name for name, seen in observed.items() if seen.verified != seen.identity and name in plan["steps"]]
        composition = plan["composition"]
        recorded, number = self.releases.record(
            Release(
                number=0,
                deployment=self.deployment.name,
                composition=composition["digest"],
                revision=composition["revision"],
                images={node.role: plan["images"][node.role] for node in self.nodes},
                nodes={node.name: node.role for node in self.nodes},
                ports=composition["ports"],
                test_script=composition["test_script"],
                created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                checks=checks,
            ),
            members=[node.name for node in self.deployment.nodes],
        )
        # A run that is killed here is finished by the next: it sees nodes that are not marked, and the same release.
        retired = [name for name, step in plan["steps"].items() if step["action"] == "retire"]
        removed: dict[str, Outcome] = {}
        if not settled:
            self.platform.commit(self.nodes, number)
            removed = self.platform.remove(retired, data=False, tell=self._teller("retire"))
            self._prune()
            _require(removed)
        return {
            **_per_node(removed),
            "changed": bool(unmarked or retired or recorded),
            "retired": retired,
            "release": number,
            "summary": self._summary(number, plan["images"]),
        }

    def _summary(self, release: int, images: t.Mapping[str, str]) -> list[str]:
        """What runs now and how to get in, for people."""
        access = self.keys.ssh_config_file
        more = len(self.nodes) - SHOWN
        return [
            f"deployment {self.deployment.name}, release {release}, on {self.deployment.platform}:",
            *(f"  {node.name} ({node.role}): {images[node.role]}" for node in self.nodes[:SHOWN]),
            *([f"  and {more} more"] if more > 0 else []),
            f"log in:    ssh -F {access} {self.nodes[0].name}",
            "tear down: ansible-playbook -i INVENTORY immutable.compose.destroy",
        ]

    def _prune(self) -> None:
        needed = self.releases.prune(self.deployment.keep)
        needed |= _used(self.platform.observe(self.nodes))
        self.platform.prune(needed)
        self.releases.drop_roots(needed)

    def revert(self, plan: t.Mapping[str, t.Any], failed: t.Collection[str] = ()) -> Result:
        """Every node of the batch that does not run its last verified image boots that again; then see that it does.

        :param failed: nodes that may not work: they go first.
        """
        # What was switched last is the least certain to work.
        turn = {name: number for number, wave in enumerate(plan["waves"], 1) for name in wave}
        names = sorted(
            (node.name for node in self.nodes), key=lambda name: (name not in set(failed), -turn.get(name, 0))
        )
        outcomes, back = self._rollout({"ports": {}}).revert(names)
        result = _per_node(outcomes)
        for name, image in back.items():
            result["nodes"][name]["back_on"] = image
        return result

    def destroy(self, *, data: bool) -> Result:
        """Stop and forget the batch; with the last node also what the nodes shared."""
        members = {node.name for node in self.deployment.nodes}
        observed = self.platform.observe(self.nodes)
        whole = len(self.nodes) == len(members)
        acted_on = {node.name for node in self.nodes} | (set(observed) - members if whole else set())
        # A node that is gone may have left its data.
        names = sorted(name for name in acted_on if data or observed[name].state != "absent")
        outcomes = self.platform.remove(names, data=data, tell=self._teller("destroy"))
        _require(outcomes)
        if whole:
            self.platform.teardown()
        return _per_node(outcomes)

    def _teller(self, step: str) -> t.Callable[[str, Outcome], None]:
        return lambda name, outcome: self.progress.say(
            f"{step} {name}: {'done' if outcome.ok else f'failed: {outcome.message}'}"
        )


def _used(observed: t.Mapping[str, Observation]) -> set[str]:
    """Identities of the images that nodes run, or may go back to."""
    return {identity for seen in observed.values() for identity in (seen.identity, seen.verified) if identity}


def _bundles(images: t.Mapping[str, Image]) -> dict[str, str]:
    return {role: image.bundle for role, image in images.items()}


def _require(outcomes: t.Mapping[str, Outcome]) -> None:
    """:raises ComposeError: nodes could not be removed; they are no hosts that could fail by themselves."""
    failed = [outcome.message for _name, outcome in sorted(outcomes.items()) if not outcome.ok]
    if failed:
        raise ComposeError("; ".join(failed))


def _per_node(outcomes: t.Mapping[str, Outcome]) -> Result:
    return {
        "changed": any(outcome.changed for outcome in outcomes.values()),
        "failed_nodes": sorted(name for name, outcome in outcomes.items() if not outcome.ok),
        "nodes": {
            name: {"ok": outcome.ok, "changed": outcome.changed, "message": outcome.message}
            for name, outcome in outcomes.items()
        },
    }


def _lookup(registry: t.Mapping[str, t.Any], name: str, what: str) -> t.Any:
    if name not in registry:
        raise InputError(f"unknown {what} {name!r}{nearest(name, registry)}")
    return registry[name]
