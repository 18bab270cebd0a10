# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments that a run may have been killed in: begun once, found again, and their end. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

from ...errors import ComposeError, InputError
from ...model.boot import Target
from ...model.deployment import Node
from ...model.image import Image
from ...progress import Progress, listed
from .backend import Backend, PowerBackend
from .machines import cluster_of
from .outcome import Description, KadeployError, Order, Outcome, UnderWay
from .store import SCRIPT, Store

#: A system that is unpacked to a partition, in Kadeploy's terms; 131 is that of Linux.
_FILE_SYSTEM, _PARTITION_TYPE = "ext4", 131


@dataclass(frozen=True)
class Group:
    """Nodes that one deployment boots: of one role, on machines of one cluster.

    :param targets: by machine.
    """

    name: str
    image: Image
    targets: t.Mapping[str, Target]
    partition: str
    kernel_parameters: str
    postinstalls: tuple[str, ...]
    timeout: int

    @property
    def machines(self) -> list[str]:
        return list(self.targets)


def grouped(
    targets: t.Sequence[Target], prefix: str, option: t.Callable[[Node, str], t.Any], most: float
) -> list[Group]:
    """One for each image and cluster, whose nodes have the same options.

    :param option: the value that an option has for a node.
    :param most: seconds that no deployment may take longer.
    """
    parts: dict[tuple[t.Any, ...], dict[str, Target]] = {}
    for target in targets:
        machine = str(option(target.node, "machine"))
        chosen = [option(target.node, key) for key in ("partition", "kernel_parameters", "deploy_timeout")]
        posts = tuple(option(target.node, "postinstalls"))
        key = (target.image.identity, cluster_of(machine), *chosen, posts)
        parts.setdefault(key, {})[machine] = target
    groups = []
    for (_identity, _cluster, partition, parameters, timeout, posts), part in parts.items():
        image = next(iter(part.values())).image
        name = name_of(f"{prefix}{image.role}-", image, part)
        groups.append(Group(name, image, part, partition or "", parameters or "", posts, int(min(timeout, most))))
    return groups


def name_of(prefix: str, image: Image, targets: t.Mapping[str, Target]) -> str:
    """By which a deployment is known again: what it boots, and where."""
    parts = [image.identity]
    for machine, target in sorted(targets.items()):
        parts += [machine, target.node.name, target.document_digest]
    return f"{prefix}{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def describe(group: Group, store: Store, *, documents: bool) -> Description:
    """The environment, which nobody registers.

    :param documents: with the archive of documents, which must be there then.
    """
    image = group.image
    if image.installed is None:
        raise InputError(f"the image of role {image.role!r} does not say how it boots once it is installed")
    posts = [post.split(" ", 1) for post in group.postinstalls]
    if documents:
        posts.append([store.documents_url(group.name), SCRIPT])
    return {
        "name": group.name,
        "version": 1,
        "description": f"image {image.identity} of role {image.role}",
        "os": "linux",
        "image": {"file": store.image_url(image), "kind": "tar", "compression": image.installed.compression},
        "postinstalls": [
            {"archive": archive, "compression": "gzip", "script": script.strip()} for archive, script in posts
        ],
        "boot": {
            "kernel": image.installed.kernel,
            "initrd": image.installed.initrd,
            "kernel_params": f"{image.cmdline} {group.kernel_parameters}".strip(),
        },
        "filesystem": _FILE_SYSTEM,
        "partition_type": _PARTITION_TYPE,
    }


class Deployer:
    """Deploys groups.

    :param prefix: with which the names of all deployments of ours begin, and of nobody else.
    """

    def __init__(self, backend: Backend, store: Store, prefix: str, progress: Progress) -> None:
        self._backend = backend
        self._store = store
        self._prefix = prefix
        self._progress = progress

    def rehearse(self, group: Group) -> None:
        """Ask Kadeploy whether it would deploy this. :raises KadeployError: it would not."""
        self._backend.rehearse(self._order(group, documents=False))

    def deploy(self, group: Group, are_up: t.Callable[[t.Sequence[str]], bool]) -> Outcome:
        """Deploy a group, to the end. What a run that was killed has begun is waited for, or has ended meanwhile.

        :param are_up: whether all of these machines run what they are to.
        :raises KadeployError: Kadeploy refused, and nothing was begun.
        :raises ComposeError: the server does not answer, or the time was over.
        """
        before = self._under_way(group)
        if before is not None and before.done:
            outcome = self._backend.wait(before.identifier, group.machines, group.timeout)
            self._end(before)
            if outcome.error is None and outcome.ok and are_up(outcome.ok):
                self._progress.say(f"switch: {listed(group.machines)}: the deployment {before.identifier} has ended")
                return outcome
            before = None
        if before is None:
            self._store.put_documents(group.name, group.targets)
            if isinstance(self._backend, PowerBackend):
                self._backend.await_power(group.machines, group.timeout)
            identifier = self._begin(group)
        else:
            identifier = before.identifier
            self._progress.say(f"switch: {listed(group.machines)}: waiting for the earlier deployment {identifier}")
        try:
            outcome = self._wait(identifier, group)
        finally:
            self._backend.forget(identifier)
            self._store.drop_documents(group.name)
        return outcome

    def _order(self, group: Group, *, documents: bool) -> Order:
        return Order(group.machines, describe(group, self._store, documents=documents), partition=group.partition)

    def _begin(self, group: Group) -> str:
        """The deployment, also where the answer is lost that says its identifier."""
        self._progress.say(f"switch: deploying {group.image.identity} on {listed(group.machines)}")
        try:
            return self._backend.deploy(self._order(group, documents=True))
        except KadeployError:
            raise
        except ComposeError:
            begun = self._under_way(group)
            if begun is None:
                raise
            return begun.identifier

    def end(self, machines: t.Collection[str]) -> None:
        """End what runs that were killed have left going on with machines, which keeps these busy."""
        for each in self._ours(machines):
            self._end(each)

    def tidy(self) -> None:
        """Remove documents that such runs have left, but for those that Kadeploy may still fetch."""
        self._store.keep_documents({each.environment for each in self._backend.under_way()})

    def _under_way(self, group: Group) -> UnderWay | None:
        """The deployment of just this. Others of ours on these machines, of runs that ended, are ended."""
        found = None
        for each in self._ours(group.machines):
            if each.environment == group.name and (found is None or found.done):
                found = each
            else:
                self._end(each)
        return found

    def _ours(self, machines: t.Collection[str]) -> list[UnderWay]:
        found = self._backend.under_way()
        return [each for each in found if each.environment.startswith(self._prefix) and each.nodes & set(machines)]

    def _end(self, deployment: UnderWay) -> None:
        self._backend.forget(deployment.identifier)
        self._store.drop_documents(deployment.environment)

    def _wait(self, identifier: str, group: Group) -> Outcome:
        """The end of a deployment. One that is waited for in vain is cancelled, with what follows this."""
        with self._progress.waiting(lambda: f"switch: {identifier}: deploying on {listed(group.machines)}"):
            return self._backend.wait(identifier, group.machines, group.timeout)
