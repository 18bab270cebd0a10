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
from ..builders.registry import BUILDERS
from ..checks.script import check_script
from ..composition.document import document_digest, node_document
from ..composition.load import MANIFEST, to_manifest
from ..composition.model import Composition, Deployment, Node
from ..composition.names import nearest
from ..errors import ComposeError, InputError
from ..files import read_json, write_json
from ..images.image import Image
from ..platforms.base import Outcome, Platform, Target
from ..platforms.registry import PLATFORMS
from ..progress import Progress
from ..ssh.keys import Keys
from .plan import Step, as_data, package_changes, plan_node, render
from .release import Release, ReleaseStore, describe

Result = dict[str, t.Any]

#: Nodes that a summary for people names.
SHOWN = 30


class Engine:
    """One deployment, for the length of one step.

    :param batch: names of the nodes to act on; the others are peers.
    :param support: directory of the collection's data files (``nix/``) on this host.
    """

    def __init__(self, deployment: Deployment, batch: t.Sequence[str], support: str, progress: Progress) -> None:
        self.deployment = deployment
        self.nodes = [node for node in deployment.nodes if node.name in set(batch)]
        self.progress = progress
        self.state = deployment.state
        self.platform: Platform = _lookup(PLATFORMS, deployment.platform, "platform")(deployment, progress)
        self.builder: Builder = _lookup(BUILDERS, deployment.builder, "builder")(support, progress)
        self.releases = ReleaseStore(self.state)
        self.keys = Keys(self.state)

    # -- plan ----------------------------------------------------------------------------------------------------

    def plan(self, *, release: str | None = None, retire: bool = False, predict: bool = False) -> Result:
        """What has to happen, without doing it.

        :param release: instead of what the composition means now: the number of a kept release, ``current``, or
            ``previous``.
        :param retire: also list nodes that exist but are no longer part of the deployment.
        :param predict: say ``changed`` if anything has to happen: Ansible shows a diff only then.
        """
        kept = None if release is None else self.releases.find(release)
        desired = self._composed() if kept is None else self._released(kept)
        self.platform.check(self.nodes)
        observed = self.platform.observe(self.nodes)
        # Only nodes that exist have a document to compare with: planning a new node writes no key.
        documents = self._documents([node for node in self.nodes if observed[node.name].state != "absent"])
        steps: dict[str, Step] = {}
        for node in self.nodes:
            digest = document_digest(documents[node.name]) if node.name in documents else ""
            steps[node.name] = plan_node(node, desired["images"][node.role], digest, observed[node.name])
        if retire:
            members = {node.name for node in self.deployment.nodes}
            for name, seen in sorted(observed.items()):
                if name not in members and seen.state != "absent":
                    steps[name] = Step("retire", "", None, seen.identity, ["not part of the deployment any more"])
        changes = self._package_changes(steps, desired["packages"])
        pending = any(step.action != "keep" for step in steps.values())
        return {
            "changed": predict and pending,
            "images": desired["images"],
            "release": kept.number if kept else None,
            "composition": desired["composition"],
            "steps": as_data(steps),
            "pending": pending,
            "packages": changes,
            "diff": render(steps, changes),
            "current_release": describe(self.releases.current()),
        }

    def _released(self, kept: Release) -> dict[str, t.Any]:
        """Images, packages per role and the meaning of *verified*, of a kept release."""
        missing = sorted({node.role for node in self.nodes} - set(kept.images))
        if missing:
            raise InputError(f"release {kept.number} has no image for role {missing[0]!r}")
        return {
            "images": dict(kept.images),
            "packages": {role: dict(self._built(identity).packages) for role, identity in kept.images.items()},
            "composition": {
                "digest": kept.composition,
                "revision": kept.revision,
                "ports": dict(kept.ports),
                "test_script": kept.test_script,
            },
        }

    def _composed(self) -> dict[str, t.Any]:
        """The same, of the composition as it is now."""
        roles = sorted({node.role for node in self.nodes})
        composition = self.evaluate()
        for role in roles:
            if role not in composition.roles:
                raise InputError(
                    f"composition {composition.name!r} has no role {role!r}{nearest(role, composition.roles)}"
                )
        if any(composition.roles[role].identity is None for role in roles):
            self.builder.check(self.deployment.composition, self.deployment.setup, roles)
        return {
            "images": {name: role.identity for name, role in composition.roles.items() if role.identity is not None},
            "packages": {name: dict(role.packages) for name, role in composition.roles.items()},
            "composition": {
                "digest": composition.digest,
                "revision": composition.revision,
                "ports": {name: list(role.ports) for name, role in composition.roles.items()},
                "test_script": composition.test_script,
            },
        }

    def evaluate(self) -> Composition:
        """The composition as it is now; its test script fits the nodes of the deployment."""
        composition = self.builder.evaluate(self.deployment.composition, self.deployment.setup)
        check_script(composition.test_script, [node.name for node in self.deployment.nodes])
        return composition

    def evaluated(self, *, write: bool) -> Result:
        """``composition.json``; with ``write`` also as a file next to the composition."""
        data = to_manifest(self.evaluate())
        path = os.path.join(self.deployment.composition, MANIFEST)
        old = read_json(path) if os.path.exists(path) else None
        changed = write and old != data
        if changed:
            write_json(path, data, mode=0o644)
        return {"changed": changed, "composition": data}

    def lock(self, *, write: bool) -> Result:
        """Pin the inputs of every role."""
        path, old, new = self.builder.lock(self.deployment.composition, self.deployment.setup, write=write)
        diff = {"before_header": path, "after_header": path, "before": old, "after": new}
        return {"changed": old != new, "path": path, "diff": [diff] if old != new else []}

    def _package_changes(
        self, steps: t.Mapping[str, Step], packages: t.Mapping[str, t.Mapping[str, str]]
    ) -> dict[str, dict[str, list[str | None]]]:
        changes = {}
        for step in steps.values():
            if step.running and step.image and step.running != step.image and step.role not in changes:
                try:
                    old = self._built(step.running).packages
                except ComposeError:
                    continue  # the running image was built elsewhere, or its root was removed by hand
                changes[step.role] = package_changes(old, packages.get(step.role, {}))
        return changes

    # -- build and stage -----------------------------------------------------------------------------------------

    def build(self, plan: t.Mapping[str, t.Any]) -> Result:
        """Build the images that the plan needs; those of a kept release exist already."""
        roles = sorted({step["role"] for step in plan["steps"].values() if step["action"] in ("create", "replace")})
        if plan["release"] is not None or not roles:
            return {"changed": False, "built": []}
        before = self.builder.is_built(self.deployment.composition, self.deployment.setup, roles, self.platform.formats)
        images = self.builder.build(
            self.deployment.composition,
            self.deployment.setup,
            roles,
            self.platform.formats,
            self.releases.roots,
        )
        for role, image in images.items():
            if image.identity != plan["images"][role]:
                raise ComposeError(
                    f"role {role!r}: built {image.identity}, planned {plan['images'][role]}: "
                    "the composition changed meanwhile; run again"
                )
        built = [role for role in roles if not before[role]]
        return {"changed": bool(built), "built": built}

    def stage(self, plan: t.Mapping[str, t.Any]) -> Result:
        """Bring the images of all nodes to be switched to the platform."""
        identities = {step["image"] for step in plan["steps"].values() if step["action"] in ("create", "replace")}
        images = [self._built(identity) for identity in sorted(identities)]
        return {"changed": self.platform.stage(images) if images else False}

    def reproduce(self) -> Result:
        """Build every image twice and compare: ``composition/role`` → what differs, empty if nothing does."""
        composition = self.evaluate()
        where = (
            self.deployment.composition,
            self.deployment.setup,
            sorted(composition.roles),
            self.platform.formats,
        )
        self.builder.build(*where, self.releases.roots)
        differences = self.builder.check_reproducible(*where)
        return {"images": {f"{composition.name}/{role}": text for role, text in sorted(differences.items())}}

    def _built(self, identity: str) -> Image:
        path = os.path.join(self.releases.roots, identity)
        if not os.path.exists(path):
            raise ComposeError(f"the image {identity} is not built here any more ({path} is missing)")
        return Image.read(os.path.realpath(path))

    # -- switch --------------------------------------------------------------------------------------------------

    def switch(self, plan: t.Mapping[str, t.Any]) -> Result:
        """Boot the planned images; tell running nodes their new peers."""
        documents = self._documents(self.nodes)
        self.write_access()
        targets = []
        refresh = []
        for node in self.nodes:
            action = plan["steps"][node.name]["action"]
            if action in ("create", "replace"):
                document = documents[node.name]
                image = self._built(plan["images"][node.role])
                targets.append(Target(node, image, document, document_digest(document)))
            elif action == "refresh":
                refresh.append(node)
        done = 0

        def tell(name: str, outcome: Outcome) -> None:
            nonlocal done
            done += 1
            state = "started" if outcome.ok else f"failed: {outcome.message}"
            self.progress.say(f"switch {name}: {state} ({done} of {len(targets)})")

        outcomes = self.platform.switch(targets, tell) if targets else {}
        outcomes.update(self._refresh(refresh, documents))
        return {**_per_node(outcomes), "diff": plan["diff"]}

    def _refresh(self, nodes: t.Sequence[Node], documents: t.Mapping[str, Result]) -> dict[str, Outcome]:
        """Give running nodes a new document; what a node reads at boot only is the same in old and new."""
        from ..checks.refresh import push_document

        outcomes = {}
        for node in nodes:
            document = documents[node.name]
            try:
                push_document(node, self.platform.endpoint(node), self.keys, document)
                self.platform.refresh(node, document, document_digest(document))
                outcomes[node.name] = Outcome(ok=True, changed=True)
            except ComposeError as error:
                outcomes[node.name] = Outcome(ok=False, changed=True, message=str(error))
        return outcomes

    def write_access(self) -> None:
        """``ssh_config`` and ``known_hosts`` for every node of the deployment."""
        self.keys.write_access({node.name: self.platform.endpoint(node) for node in self.deployment.nodes})

    def _documents(self, nodes: t.Sequence[Node]) -> dict[str, Result]:
        documents: dict[str, Result] = {}
        for node in nodes:
            host = self.keys.host_key(node.name)
            documents[node.name] = node_document(
                self.deployment,
                node,
                interfaces=self.platform.interfaces(node),
                host_key=host.private,
                host_certificate=host.certificate,
                authorized_keys=[self.keys.login_public_key(), *self.deployment.authorized_keys],
            )
        return documents

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
        """The batch is verified: :meth:`revert` returns to it from now on. Retire what has no place any more."""
        observed = self.platform.observe(self.nodes)
        unmarked = [node for node in self.nodes if observed[node.name].verified != observed[node.name].identity]
        self.platform.commit(self.nodes)
        retired = [name for name, step in plan["steps"].items() if step["action"] == "retire"]
        removed = self.platform.remove(retired, data=False, tell=self._teller("retire"))
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
        self._prune()
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
        for seen in self.platform.observe(self.nodes).values():
            needed |= {identity for identity in (seen.identity, seen.verified) if identity}
        self.platform.prune(needed)
        self.releases.drop_roots(needed)

    def revert(self) -> Result:
        """Every node of the batch that does not run its last verified image boots that again; then see that it does."""
        outcomes = self.platform.revert(self.nodes, self._teller("revert"))
        observed = self.platform.observe(self.nodes)
        back = {
            node.name: t.cast(str, observed[node.name].verified)
            for node in self.nodes
            if outcomes[node.name].ok and outcomes[node.name].changed and observed[node.name].verified
        }
        result = _per_node(outcomes)
        for name, image in back.items():
            result["nodes"][name]["back_on"] = image
        if back:
            report = self._verify(back, {"ports": {}}, "", "revert")
            for name in report["failed_nodes"]:
                result["nodes"][name]["ok"] = False
                result["nodes"][name]["message"] = f"reverted, but: {report['nodes'][name]['message']}"
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
        if whole:
            self.platform.teardown()
        return _per_node(outcomes)

    def _teller(self, step: str) -> t.Callable[[str, Outcome], None]:
        return lambda name, outcome: self.progress.say(
            f"{step} {name}: {'done' if outcome.ok else f'failed: {outcome.message}'}"
        )


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
