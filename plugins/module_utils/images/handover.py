# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What images of NixOS Compose are told at boot, in place of a node document. PRIVATE to the collection.

After stage 1 of NixOS Compose 0.7.11 and before (``nix/flavours/shared/stage-1-cmds.nix``, ``vm-stage-1-cmds.nix``): it
looks its own address up in ``deployment`` of a JSON document, takes role and host name from there, and boots the system
that ``compositions_info_path``, or the image itself, says for this role of ``composition``.

========== ==================================== ==========================================================
flavour    finds the document                   takes for its own address
========== ==================================== ==========================================================
vm         ``deploy=PATH``, in the 9p share     ``ip=`` of the kernel command line; later given to eth1
           ``nxc-composition``
all others ``deploy=BASE64`` on the command line the source of its default route
========== ==================================== ==========================================================
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import typing as t

from ..errors import ComposeError, InputError
from ..files import write_json, write_text
from ..model.deployment import Deployment, Node
from ..model.document import NodeDocument
from ..model.image import Image

#: Longest base64 text that NixOS Compose itself puts on a command line, and longest command line of Linux on x86.
MAX_BASE64, MAX_COMMAND_LINE = 4096 - 256, 2047

#: Longest prefix that does: an image takes a network of 256 addresses for granted.
PREFIX = 24

#: What stage 1 reads of ``all``.
_ALL = ("kernel", "initrd", "all_compositions_registration_store_path")

Share = tuple[str, str, bool]


def is_nxc(image: Image) -> bool:
    """Whether an image is one of NixOS Compose."""
    return image.handover.kind == "nxc"


def check(image: Image, deployment: Deployment, nodes: t.Iterable[Node]) -> None:
    """Refuse what an image of NixOS Compose cannot do. :raises InputError: says what."""
    network = ipaddress.IPv4Network(deployment.network)
    if network.prefixlen < PREFIX:
        raise InputError(
            f"network is {network}, but nodes of NixOS Compose take it for a /{PREFIX}; expected for example "
            f"'192.168.1.0/{PREFIX}'"
        )
    for node in nodes:
        if node.secrets and node.role == image.role:
            raise InputError(
                f"node {node.name!r} has secrets, which an image of NixOS Compose cannot be given: "
                f"{', '.join(sorted(node.secrets))}"
            )


def _deployment_file(image: Image, document: NodeDocument, own: str) -> dict[str, t.Any]:
    """The JSON document, as ``nxc start`` would write it, reduced to what is read.

    :param document: node document of the node that boots.
    :param own: address by which the node knows itself.
    """
    addresses = {
        own if peer.name == document.name else peer.address: {"role": peer.role, "host": peer.name}
        for peer in document.peers
    }
    data: dict[str, t.Any] = {
        "ssh_key.pub": "\n".join(document.ssh.authorized_keys),
        "deployment": addresses,
        "all": {key: value for key, value in image.handover.all.items() if key in _ALL},
        "composition": image.handover.composition,
    }
    if image.handover.compositions_info_path:
        data["compositions_info_path"] = image.handover.compositions_info_path
    if document.parameters:
        data["parameters"] = document.parameters
    return data


def write_files(image: Image, document: NodeDocument, directory: str) -> str:
    """Write what stage 1 leaves in ``/etc/nxc``, for a container, which has none; returns the directory with it."""
    own = str(document.address)
    path = os.path.join(directory, "nxc")
    texts = {
        "hostname": document.name,
        "role": document.role,
        "ip_addr": own,
        "deployment-hosts": "\n".join(f"{peer.address} {peer.name}" for peer in document.peers),
    }
    for name, text in texts.items():
        write_text(os.path.join(path, name), f"{text}\n", 0o644)
    write_json(os.path.join(path, "deployment.json"), _deployment_file(image, document, own), 0o644)
    return path


class Handover:
    """What one virtual machine is told, and shares it reads that from.

    :param state: state directory of the deployment.
    :param directory: of the node; what it is told is written there.
    :param route: source address of the default route that the emulator gives the guest.
    """

    def __init__(self, image: Image, document: NodeDocument, state: str, directory: str, route: str) -> None:
        self._image, self._document = image, document
        self._directory = os.path.join(directory, "nxc")
        self._shared = os.path.join(state, "shared")
        self._route = route
        self._by_share = image.handover.flavour == "vm"

    @property
    def _name(self) -> str:
        return f"deploy/{self._image.handover.composition}::{self._image.handover.flavour}.json"

    def shares(self) -> list[Share]:
        """9p shares: tag, directory, whether it is for reading only. Written now is what they must have."""
        os.makedirs(self._shared, mode=0o700, exist_ok=True)
        shares: list[Share] = [("shared", self._shared, False)]  # which all flavours of virtual machines mount
        if self._by_share:
            data = _deployment_file(self._image, self._document, self._address)
            write_json(os.path.join(self._directory, self._name), data)
            store = os.path.dirname(self._image.handover.system)
            shares += [("nix-store", store, True), ("nxc-composition", self._directory, True)]
        return shares

    @property
    def _address(self) -> str:
        return str(self._document.address)

    def command_line(self) -> str:
        """Kernel command line. :raises ComposeError: it would be longer than the kernel takes."""
        words = [f"ip={self._address}:::::eth1", "net.ifnames=0", "console=tty0", "console=ttyS0,115200n8"]
        words += ["check_kernel_initrd", f"flavour={self._image.handover.flavour}"]
        if self._by_share:
            words.append(f"deploy={self._name}")
        else:
            data = _deployment_file(self._image, self._document, self._route)
            told = base64.b64encode(json.dumps(data, separators=(",", ":")).encode()).decode()
            words.append(f"deploy={told}")
            self._refuse_long(len(told), MAX_BASE64)
        line = " ".join([*words, self._image.cmdline]).strip()
        self._refuse_long(len(line), MAX_COMMAND_LINE)
        return line

    def _refuse_long(self, length: int, most: int) -> None:
        if length > most:
            raise ComposeError(
                f"what {len(self._document.peers)} nodes must know takes {length} characters of the kernel command "
                f"line, at most {most} are possible; use the flavour 'vm', or fewer nodes",
                node=self._document.name,
            )
