# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment, as the tools of NixOS Compose read it: its deployment file and role distribution. PRIVATE."""

from __future__ import annotations

import getpass
import json
import os
import typing as t

from ..errors import InputError
from ..files import write_text
from ..images.handover import is_nxc
from ..model.deployment import Deployment, Node
from ..model.free import Json
from ..model.image import Image, NixosCompose
from ..model.step import Exported
from ..nodes.endpoint import Endpoint
from .engine import Engine

#: Port that `nxc` takes for the virtual machine with number 0.
FIRST_PORT = 22021

#: Platform → flavour whose tools reach its nodes.
FLAVOURS = {"qemu": "vm", "podman": "docker", "nspawn": "nspawn"}

#: The one that is reached by SSH to the nodes' addresses.
BY_ADDRESS = "g5k-ramdisk"

#: Flavours of virtual machines.
MACHINES = ("vm", "vm-ramdisk")

#: What starts the machines of a deployment that NixOS Compose did not build.
NO_START = "#!/bin/sh\necho 'the machines of this deployment are started by immutable.compose.deploy' >&2\nexit 1\n"

#: Name of a composition that is the only one of its project.
ONLY = "composition"


def export(engine: Engine, directory: str, flavour: str, *, write: bool) -> Exported:
    """Write ``deploy/COMPOSITION::FLAVOUR.json``, ``nodes.json`` and the test script below a directory.

    :param flavour: empty: the one whose tools reach nodes of this platform.
    :raises InputError: `nxc` could not reach a node of that flavour where this one is.
    """
    deployment = engine.deployment
    flavour = flavour or FLAVOURS.get(deployment.platform, BY_ADDRESS)
    images = _meant(engine) if flavour == "docker" else _images(engine)
    handovers = [image.handover for image in images.values() if is_nxc(image)]
    common = handovers[0] if handovers else NixosCompose()
    composition = common.composition or ONLY
    # The driver runs `exec` on the file: what the composition says is a file of its own.
    script = os.path.join(directory, "artifact", composition, flavour, "test-script")
    files = {script: engine.desired.evaluate().test_script}
    data: dict[str, t.Any] = {"parameters": dict(deployment.parameters), "test_script": script}
    if flavour == "docker":
        data["nodes"] = [node.name for node in deployment.nodes]
        data["deployment"] = {node.name: {"role": node.role} for node in deployment.nodes}
        if handovers:
            compose = os.path.join(directory, "artifact", composition, flavour, "docker-compose.json")
            data["docker-compose-file"] = compose
            files[compose] = json.dumps(
                _compose_file(deployment, images, _deployment_file(directory, composition, flavour))
            )
    else:
        data["ssh_key.pub"] = "\n".join([engine.keys.login_public_key().strip(), *deployment.authorized_keys])
        data["deployment"] = {
            str(node.address): _entry(node, flavour, engine.platform.endpoint(node), images.get(node.name))
            for node in deployment.nodes
        }
        data["composition"] = composition
        data["user"] = getpass.getuser()
        data["all"] = dict(common.all)
        if flavour in MACHINES and "qemu_script" not in data["all"]:
            # The driver wants it to exist; only `nxc start` would run it.
            data["all"]["qemu_script"] = os.path.join(os.path.dirname(script), "qemu_script")
            files[data["all"]["qemu_script"]] = NO_START
        if common.compositions_info_path:
            data["compositions_info_path"] = common.compositions_info_path
    path = _deployment_file(directory, composition, flavour)
    files[path] = json.dumps(data, indent=2) + "\n"
    distribution = os.path.join(directory, "nodes.json")
    counts, options = role_distribution(deployment)
    files[distribution] = json.dumps(counts, indent=2) + "\n"
    changed = [name for name, text in files.items() if _content(name) != text]
    if write:
        for name in changed:
            write_text(name, files[name], 0o644)
    return Exported(bool(changed), path, distribution, options)


def role_distribution(deployment: Deployment) -> tuple[dict[str, int], list[str]]:
    """The roles' nodes as `nxc start` takes them: in a file, which can hold only counts; and as options."""
    names: dict[str, list[str]] = {}
    for node in deployment.nodes:
        names.setdefault(node.role, []).append(node.name)
    counts, options = {}, []
    for role, each in sorted(names.items()):
        if each == [f"{role}{index}" for index in range(1, len(each) + 1)]:
            counts[role] = len(each)
        elif each != [role]:
            options += ["-r", f"{role}={','.join(each)}"]
    return counts, options


def _deployment_file(directory: str, composition: str, flavour: str) -> str:
    return os.path.join(directory, "deploy", f"{composition}::{flavour}.json")


def _compose_file(deployment: Deployment, images: t.Mapping[str, Image], deployment_file: str) -> dict[str, t.Any]:
    """What ``docker compose`` starts: as NixOS Compose, a service for each node, with the deployment file in it."""
    services = {}
    for node in deployment.nodes:
        if node.name not in images:
            raise InputError(
                f"the image of role {node.role!r} is not built for the flavour 'docker': build it with "
                "immutable.compose.build for the platform 'podman' first"
            )
        service = images[node.name].handover.service
        bind = {"type": "bind", "source": deployment_file, "target": "/etc/nxc/deployment.json"}
        volumes = [*t.cast(t.Sequence[Json], service.get("volumes", ())), bind]
        services[node.name] = {**service, "hostname": node.name, "volumes": volumes}
    return {
        "version": "3.4",
        "services": services,
        "volumes": {"nxc-shared": {}},
        "x-nxc": {"image": next(iter(images.values())).path("oci")},
    }


def _meant(engine: Engine) -> dict[str, Image]:
    """Node → image that the composition means, as far as it is built here: nothing runs for this flavour."""
    roles = sorted({node.role for node in engine.deployment.nodes})
    identities = engine.desired.composed(roles).meaning.images
    return {
        node.name: engine.releases.image(identities[node.role])
        for node in engine.deployment.nodes
        if engine.releases.has_image(identities[node.role])
    }


def _images(engine: Engine) -> dict[str, Image]:
    """Node → image that it runs, as far as it is here."""
    seen = engine.platform.observe(engine.deployment.nodes)
    found = {}
    for node in engine.deployment.nodes:
        identity = seen[node.name].identity if node.name in seen else None
        if identity is not None and engine.releases.has_image(identity):
            found[node.name] = engine.releases.image(identity)
    return found


def _entry(node: Node, flavour: str, endpoint: Endpoint, image: Image | None) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {"role": node.role, "host": node.name}
    if flavour in MACHINES:
        entry["vm_id"] = endpoint.port - FIRST_PORT
        if endpoint.host != "127.0.0.1" or entry["vm_id"] < 1:
            raise InputError(
                f"node {node.name!r} has its SSH server at {endpoint.host}, port {endpoint.port}; nxc looks for one of "
                f"flavour {flavour!r} on 127.0.0.1 at {FIRST_PORT} plus its number: set ssh_port_base of platform "
                f"'qemu' to {FIRST_PORT} or more, or another flavour"
            )
    if image is not None and is_nxc(image):
        entry["toplevel"] = image.handover.system
    return entry


def _content(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
