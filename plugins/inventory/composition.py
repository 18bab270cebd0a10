# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory plugin: a deployment file gives hosts, groups and variables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: composition
short_description: Nodes of a deployment of a composition
version_added: 0.1.0
author:
  - immutable.compose contributors (@immutable-compose)
description:
  - Reads a deployment file, C(NAME.compose.yml) or C(NAME.compose.yaml), that says which composition is deployed, on
    which platform, and how many or which nodes have each role.
  - Gives one host for each node, in the groups C(immutable), C(composition_NAME), C(platform_NAME), C(deployment_NAME)
    and C(role_ROLE), and C(tag_TAG) for each tag of its role; also in C(machines_NAME), unless it is a host of another
    inventory source. Characters that group names cannot have become C(_).
  - The file is data; templates in it are never evaluated. Templates belong into C(group_vars) and C(host_vars).
  - The composition is evaluated where that is possible (for the builder V(debian), it needs Nix), else its
    C(composition.json) is read.
options:
  plugin:
    description: Marks the file as one for this plugin.
    type: str
    required: true
    choices: [immutable.compose.composition]
  composition:
    description:
      - Directory of the composition, relative to the deployment file.
      - Or the path of a C(composition.json), which is then read even where the composition could be evaluated.
    type: str
    required: true
  name:
    description: Name of the deployment, by default the name of the file up to C(.compose.yml). A host name label.
    type: str
  builder:
    description:
      - What turns the roles into images, for example V(debian).
      - Or a mapping with the builder's C(name) and its options.
    type: raw
    default: debian
  platform:
    description:
      - Where the nodes run, for example V(kadeploy), V(kexec), V(nspawn), V(podman), V(proxmox) or V(qemu).
      - Or a mapping with the platform's C(name) and options that hold for all nodes.
      - With O(fold), nodes of V(nspawn) are those of the platform V(folded), which no file names.
    type: raw
    required: true
  network:
    description:
      - Private IPv4 network of the nodes.
      - It is divided in equal blocks, one for each role of the composition in alphabetical order; within the block, the
        address of a new node follows from its index. A node that exists keeps the address that it has.
      - The last usable address is kept for the gateway.
    type: str
    default: 10.87.0.0/16
  domain:
    description:
      - DNS domain of the nodes whose names have no dots, for example V(cluster.example.org).
      - Full names on the nodes are made with it; hosts of the inventory keep their names.
    type: str
  setup:
    description:
      - Given to the composition when it is evaluated, as C(setup.params). Plain data.
      - A change may mean other images.
    type: dict
    default: {}
  parameters:
    description: Handed to each node in its node document. Plain data. A change never means another image.
    type: dict
    default: {}
  roles:
    description:
      - What is deployed of each role of the composition. The value is a count (V(2) of a role C(node) are C(node1) and
        C(node2); V(0) is no node), a list of names, or a mapping.
      - A role that is not listed, or has no value, has the nodes that C(rolesDistribution) of the composition says,
        else one that is named like the role.
      - "A mapping has the keys C(count); or C(names), a list; or C(hosts), one or a list of hosts and groups that
        inventory sources read before this one define, to deploy on all of these, or on the first C(count)."
      - "Beside C(hosts) it may have C(take_over), V(true): machines are made for the nodes, and Ansible reaches these
        under the names of the hosts. Without this word, a host that is reached elsewhere is refused."
      - "It may also have C(variables), Ansible variables; C(parameters) and C(secrets), handed to the nodes; and
        C(options) of the platform."
    type: dict
    default: {}
  distribution:
    description:
      - File that says which nodes the roles have where O(roles) does not, relative to the deployment file. A role
        distribution of NixOS Compose (YAML or JSON), or a deployment file that it wrote, from which the addresses are
        taken, too.
    type: str
  nodes:
    description:
      - What holds for one node only, by name.
      - "Keys of each: C(address) on the network; C(variables), C(parameters), C(secrets) and C(options), which win over
        those of the role."
    type: dict
    default: {}
  at_most:
    description:
      - Redundant nodes of which only so many are down at a time. Nodes to be replaced are taken in waves, each verified
        before the next.
      - The key is a role of the composition, or a group that inventory sources read before this one define, and the
        value the number of its nodes; or any name, and a mapping of C(nodes), a list, and C(count).
    type: dict
    default: {}
  retries:
    description:
      - How many times nodes that do not come up, or are not well, after they were switched are booted again. Only then
        they have failed.
    type: int
    default: 0
  at_least:
    description:
      - Roles of the composition, and how many of their nodes must be verified for the deployment to hold. By default
        all nodes of a role.
      - Where a role has so many, those of its nodes that failed go back alone, and are failed hosts; the others are
        released.
    type: dict
    default: {}
  reservation:
    description:
      - Machines that OAR lends for the nodes, on platforms whose machines have to be reserved (V(kadeploy)). A mapping.
      - C(walltime), C(nodes) (by default as many as the deployment has), C(properties), C(queue), C(types) (by default
        V(deploy)), C(start), C(project) and C(name) are those of M(immutable.compose.oar_job); so are C(interface),
        C(frontend), C(ssh_config), C(url), C(site), C(ca_file) and C(timeout).
      - C(on_failure) says what becomes of the job when a run fails before any node was ever verified, V(keep) or
        V(release).
    type: dict
  fold:
    description:
      - Folds the nodes onto the machines of another deployment, as containers with one network between them, on
        platforms that can (V(nspawn)). A mapping.
      - C(onto) is the name of that deployment. Its file is read before this one; those of a directory are read in
        alphabetical order.
      - C(place) says which machines nodes get, V(spread) (the default) or V(pack); C(by) is a variable of the machines,
        by whose value they are told apart first, such as C(rack). The option C(machine) of a role or node says one.
    type: dict
  silent:
    description:
      - What happens to a node that does not answer though nothing was done to it. V(refuse) only reports it, for silent
        is not wrong; V(replace) boots it again.
    type: str
    default: refuse
  hooks:
    description:
      - Files with tasks of yours, relative to the deployment file, that the role P(immutable.compose.deploy#role) runs
        for a node, as that host.
      - C(drain) runs before a running node goes down, C(undrain) once it is verified, or back on what was verified
        last; C(back) before that if it was taken back, and C(end) at the end of each run that changed it.
      - A node for which a hook fails has failed. One that cannot be drained is not touched.
    type: dict
    default: {}
  sealed:
    description:
      - What happens to tasks of your plays that may change a node which the deployment makes. V(refuse) fails them,
        V(warn) only warns, V(off) lets everything through, as P(ansible.builtin.ssh#connection) does.
      - See P(immutable.compose.sealed_ssh#connection).
    type: str
    default: refuse
  stale:
    description:
      - What happens where the composition cannot be evaluated, and its C(composition.json) is older than its files.
        V(refuse) fails the inventory source, V(warn) goes on with what it says.
    type: str
    default: refuse
  trust:
    description:
      - Whether the composition may read all files that the user who deploys may, read variables of the environment,
        fetch, and run programs, when it is evaluated; which every reading of the inventory does. Without this word,
        it has its own directory only, and one that needs more is refused. C(composition.scm) of the builder V(guix)
        always does, flakes mostly.
    type: bool
    default: false
  adopt_data:
    description:
      - Nodes that may take over data volumes which were made for another role, composition or deployment. Without this
        word, a plan that would hand them over is refused.
      - Taken out again once it is done.
    type: list
    elements: str
    default: []
  authorized_keys:
    description: OpenSSH public keys that may log in as root, besides the deployment's own.
    type: list
    elements: str
    default: []
  may_fail:
    description:
      - Systemd units whose failure is told, but fails no node and no deployment. Names, and patterns as of
        C(systemctl), such as V(nightly-*).
      - In addition to what C(mayFail) of each role says.
    type: list
    elements: str
    default: []
  keep:
    description: How many verified releases are kept to go back to.
    type: int
    default: 3
  boot_timeout:
    description: Seconds until a node must answer after it was switched to another image.
    type: int
    default: 300
  verify_timeout:
    description: Seconds that the whole verification may take.
    type: int
    default: 1800
  stable_for:
    description:
      - Seconds for which nodes have to be up, and well, before they are verified. Those that came up later are looked
        at a second time then, all together. What was up for longer is not waited for.
    type: int
    default: 15
  state_dir:
    description:
      - Directory below which the deployment has a directory of its own name, for releases, keys and local machines.
        Relative to the deployment file.
      - The default is C(/var/lib/immutable-compose) for root, else C(immutable-compose) below E(XDG_STATE_HOME) or
        C(~/.local/state).
    type: str
"""

EXAMPLES = r"""
# demo.compose.yml: one server (server) and two nodes (node1, node2)
plugin: immutable.compose.composition
composition: ../../compositions/nfs
platform: qemu
roles:
  node: 2

---
# production.compose.yml: with settings for a role and for a node, on hosts of another inventory source
plugin: immutable.compose.composition
composition: ../../compositions/cluster
platform:
  name: qemu
  memory: 768
roles:
  server:
    names: [nfs]
    options: {memory: 1024}
    secrets:
      backup_password: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        6231…
  node:
    hosts: compute_rack1
nodes:
  nfs:
    address: 10.87.0.10
"""

import gc
import os
import typing as t
from dataclasses import replace

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.immutable.compose.plugins.module_utils.builders.registry import BUILDERS
from ansible_collections.immutable.compose.plugins.module_utils.describe import values
from ansible_collections.immutable.compose.plugins.module_utils.describe.changes import (
    CHANGES,
    changes_of,
    with_changes,
)
from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import (
    Others,
    Parsed,
    chosen,
    name_of,
    parse,
)
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.describe.load import MANIFEST, is_stale, load
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.model.shape import plain
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
from ansible_collections.immutable.compose.plugins.plugin_utils import sources
from ansible_collections.immutable.compose.plugins.plugin_utils.deployment_file import checked
from ansible_collections.immutable.compose.plugins.plugin_utils.listing import add
from ansible_collections.immutable.compose.plugins.plugin_utils.nxc_distribution import with_distribution
from ansible_collections.immutable.compose.plugins.plugin_utils.placement import others_of
from ansible_collections.immutable.compose.plugins.plugin_utils.way_out import Substitute, from_counts, from_release

#: What may happen to a composition.json that is older than its composition.
STALE = ("refuse", "warn")

SUPPORT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "nix"))


class InventoryModule(BaseInventoryPlugin):
    """Reads everything into plain data first: the inventory is touched only when nothing can be refused any more."""

    NAME = "immutable.compose.composition"

    def verify_file(self, path: str) -> bool:
        """Whether the path is that of a deployment file."""
        return path.endswith((".compose.yml", ".compose.yaml")) and bool(super().verify_file(path))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Add the nodes of one deployment file."""
        super().parse(inventory, loader, path, cache)
        path = os.path.abspath(path)
        sources.reading(path)
        try:
            options = self._options_of(loader, path, self._vars or {})
            composition, parsed, release = self._read(options, others_of(inventory, loader, path), path)
            group = self._sanitize_group_name(f"deployment_{parsed.deployment.name}")
            if group in inventory.groups and "compose_deployment" in inventory.groups[group].vars:
                raise InputError(f"{path}: name: {parsed.deployment.name!r} is the name of a deployment read before")
        except (ComposeError, OSError) as error:
            sources.refused(path, str(error))
            raise AnsibleParserError(str(error)) from error
        add(inventory, group, parsed, composition, self._sanitize_group_name)
        if not parsed.deployment.nodes:
            sources.has_no_nodes(path, parsed.deployment.name)
        if parsed.deployment.broken:
            inventory.set_variable(group, "compose_from_release", release)
            self.display.warning(_without_composition(parsed, release))
        # All this lives as long as the run: with many hosts, looking for garbage in it, in each of the processes that
        # the run makes of this one, took a tenth of the time of a run that has nothing to do.
        gc.freeze()

    def varied(self, loader: DataLoader, path: str, changes: values.Unchecked, others: Others) -> Parsed:
        """A deployment as it would be with changes of its file. Nothing of it gets into an inventory.

        :param changes: extra variables, with ``compose_changes``.
        :raises ComposeError: with file, key and value.
        """
        options = self._options_of(loader, path, changes)
        return self._parsed(options, self._evaluation(options, path)(), others, path)

    def _read(self, options: dict[str, t.Any], others: Others, path: str) -> tuple[Composition, Parsed, int | None]:
        """The composition, the deployment, and the release that both are from if the composition cannot be used."""
        evaluated, composition = self._evaluation(options, path), None
        try:
            composition = evaluated()
            return composition, self._parsed(options, composition, others, path), None
        except InputError as error:
            where = _directory_of(options, path)
            directory = os.path.dirname(where) if os.path.basename(where) == MANIFEST else where
            found = self._substitute(options, others, path, directory, str(error), composition is not None)
            if found is None:
                raise
            return found.composition, found.parsed, found.release

    def _evaluation(self, options: dict[str, t.Any], path: str) -> t.Callable[[], Composition]:
        """What gives the composition. :raises InputError: nobody can know what to evaluate."""
        builder, builder_options = chosen(options["builder"], BUILDERS, path, "builder")
        setup = values.parameters(options["setup"], f"{path}: setup")
        made = builder(SUPPORT, Progress(), builder_options, trusted=options["trust"])

        def evaluated() -> Composition:
            try:
                return load(_directory_of(options, path), setup, made)
            except (ComposeError, OSError) as error:
                raise InputError(f"{path}: composition: {error}") from error

        return evaluated

    def _parsed(self, options: dict[str, t.Any], composition: Composition, others: Others, path: str) -> Parsed:
        if is_stale(composition):
            self._tell_stale(composition, options["stale"], path)
        merged = with_distribution(options, composition.roles, path)
        parsed = parse(merged, composition, path, PLATFORMS, BUILDERS, others)
        return replace(parsed, deployment=_held(parsed.deployment).settle(parsed.deployment))

    def _tell_stale(self, composition: Composition, word: str, path: str) -> None:
        """:raises ComposeError: nothing goes on in its place: the nodes might not be those that the files mean."""
        message = (
            f"{os.path.join(composition.path, MANIFEST)} does not match the files of the composition any more; where it"
            " can be evaluated, 'ansible-playbook -i INVENTORY immutable.compose.evaluate' writes it again"
        )
        if values.one_of(word, STALE, f"{path}: stale") == "refuse":
            raise ComposeError(f"{path}: {message}; 'stale: warn' in this file lets it pass")
        self.display.warning(message)

    def _substitute(
        self, options: dict[str, t.Any], others: Others, path: str, directory: str, cause: str, evaluated: bool
    ) -> Substitute | None:
        """What goes on without the composition; ``None`` if nothing does."""
        if not self._elsewhere(path):
            try:
                return from_release(options, others, path, directory, cause, evaluated=evaluated)
            except InputError:
                if evaluated:  # the deployment file does not fit what was released either
                    return None
                raise
        return None if evaluated else from_counts(options, others, path, directory, cause)

    def _elsewhere(self, path: str) -> bool:
        """Whether the state lies on another host, as far as that is said with -e or in group_vars beside the file."""
        entities = [Group("all"), Group("immutable")]
        held = get_vars_from_inventory_sources(self.loader, [path], entities, "task")
        host = {**held, **(self._vars or {})}.get("compose_host", "localhost")
        return host not in ("localhost", "127.0.0.1", "::1")

    def _options_of(self, loader: DataLoader, path: str, variables: values.Unchecked) -> dict[str, t.Any]:
        """The options as plain data. Strings of the file were never trusted as templates.

        :param variables: extra variables, which may say that the file is another for this run.
        """
        kinds = {key: str(option.get("type", "str")) for key, option in self.option_definitions.items()}
        config = checked(loader.load_from_file(path, cache="none"), self.NAME, kinds, path)
        changes = changes_of(variables, name_of(config, path))
        if changes:
            config = checked(with_changes(config, changes), self.NAME, kinds, f"{path}, as {CHANGES} has it")
        try:
            self.set_options(direct=dict(config))
        except AnsibleError as error:
            raise InputError(f"{path}: {error}") from None  # Ansible would say all of it once more
        return {key: plain(value) for key, value in self.get_options().items()}


def _directory_of(options: t.Mapping[str, t.Any], path: str) -> str:
    return os.path.abspath(os.path.join(os.path.dirname(path), os.path.expanduser(options["composition"])))


def _without_composition(parsed: Parsed, release: int | None) -> str:
    deployment = parsed.deployment
    nodes = f"of release {release} in {deployment.state}" if release else "that the deployment file lists"
    return (
        f"deployment {deployment.name!r} goes on without its composition, with the nodes {nodes}:"
        f" verify, rollback, audit, destroy and plays of your own work, all else is refused. {deployment.broken}"
    )


def _held(deployment: Deployment) -> HeldAddresses:
    """Which addresses nodes have, where this host can tell; elsewhere the inventory shows the proposed ones."""
    try:
        return HeldAddresses.read(deployment.state)
    except (OSError, ComposeError):
        return HeldAddresses("", {})
