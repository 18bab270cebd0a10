# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a deployment: no node is ever trusted on first use. PRIVATE to the collection.

Below the state directory of the deployment::

    ca, ca.pub                   signs the host keys of the nodes, and keys that log in during a run elsewhere
    id_ed25519, id_ed25519.pub   logs in as root on every node
    hostkeys/NODE                the node's host key, made before it boots first, with NODE.pub and NODE-cert.pub
    known_hosts, ssh_config      for ``ssh -F STATE/ssh_config NODE``
    new/                         the CA and the login key that take the place of those above, as long as not all nodes
                                 are known to let them in

All keys are ed25519; the file formats are those of ssh-keygen(1), sshd(8) and ssh_config(5).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        SSHCertificate,
        SSHCertificateBuilder,
        SSHCertificateType,
        load_ssh_private_key,
        load_ssh_public_identity,
    )

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

from ..errors import ComposeError
from ..files import write_text
from ..libraries import missing_library
from .endpoint import Endpoint

DAY = 24 * 3600
#: Seconds that a host certificate is valid for. It is renewed when less than :data:`RENEW` seconds are left.
VALIDITY = 3650 * DAY
RENEW = 365 * DAY
#: How the file of a private key begins and ends.
_BEGIN, _END = "-----BEGIN OPENSSH PRIVATE KEY-----\n", "-----END OPENSSH PRIVATE KEY-----\n"


@dataclass(frozen=True)
class HostKey:
    """The SSH host key of one node, as texts for the node document and for ``known_hosts``."""

    private: str
    public: str
    certificate: str


class Keys:
    """The keys of one deployment: each is read, or made, when it is first asked for.

    :param state: state directory of the deployment.
    :raises ComposeError: (each method) the library is missing, or a key file is damaged.
    """

    def __init__(self, state: str) -> None:
        self._state = os.path.abspath(state)
        #: Private key that logs in as root.
        self.identity_file = self._path("id_ed25519")
        self.known_hosts_file = self._path("known_hosts")
        self.ssh_config_file = self._path("ssh_config")

    def _path(self, *parts: str) -> str:
        return os.path.join(self._state, *parts)

    @cached_property
    def _ca(self) -> Ed25519PrivateKey:
        return _key(self._path("ca"), "host CA", "a new one signs the host keys")

    def lost(self, nodes: t.Iterable[str]) -> dict[str, str]:
        """Which of these nodes, which exist, can only be logged in to once they boot again, and why: its key is gone.

        It is made anew when it is asked for.
        """
        if not os.path.exists(self.identity_file):
            return dict.fromkeys(nodes, f"the login key {self.identity_file} is lost")
        return {
            node: f"its host key {self._path('hostkeys', node)} is lost or damaged"
            for node in nodes
            if self._private_host_key(node) is None
        }

    def lapsed(self, nodes: t.Iterable[str]) -> set[str]:
        """Which of these nodes, which exist, have a host certificate that is not valid now, or not for long.

        It was made too long ago, or under a wrong clock.
        """
        return {node for node in nodes if not self._is_in_time(node)}

    def _is_in_time(self, node: str) -> bool:
        certificate = _certificate(_read(self._certificate_file(node)) or "")
        return certificate is not None and _in_time(certificate)

    def _certificate_file(self, node: str) -> str:
        return self._path("hostkeys", f"{node}-cert.pub")

    # -- new ones ------------------------------------------------------------------------------------------------

    @property
    def new(self) -> Keys | None:
        """The CA and the login key that are to take the place of these, if there are any."""
        new = Keys(self._path("new"))
        return new if os.path.exists(new.identity_file) else None

    def make_new(self) -> None:
        """Make them. As long as there are both, nodes are told to let both in."""
        new = Keys(self._path("new"))
        new.run_authority()
        new.login_public_key()  # last: it says that they are there

    def take_new(self) -> Keys:
        """Let them take the place of these, and forget these. :returns: what is there from now on."""
        new = Keys(self._path("new"))
        for path, place in ((new._path("ca"), self._path("ca")), (new.identity_file, self.identity_file)):
            with suppress(FileNotFoundError):  # a run that was killed has gone on from there
                os.replace(path, place)
        shutil.rmtree(self._path("new"))
        return Keys(self._state)

    def drop_new(self) -> bool:
        """Forget them, and keep these. :returns: whether there were any."""
        new = self.new
        if new is not None:
            os.unlink(new.identity_file)
            shutil.rmtree(self._path("new"))
        return new is not None

    # -- public keys ---------------------------------------------------------------------------------------------

    def authorized(self) -> list[str]:
        """The lines for ``authorized_keys`` that let the deployment in, by its keys and by those that are to come."""
        new = self.new
        lines = [self.login_public_key(), self.run_authority()]
        if new is not None:
            lines.append(new.login_public_key())
            if os.path.exists(new._path("ca")):
                lines.append(new.run_authority())
        return lines

    def login_public_key(self) -> str:
        """The line for ``authorized_keys`` that lets the deployment itself log in."""
        return self._login

    def run_authority(self) -> str:
        """The line for ``authorized_keys`` that lets those log in whose keys the CA has signed for a run."""
        return f"cert-authority {_public(self._ca, 'runs')}"

    @cached_property
    def _login(self) -> str:
        return _public(_key(self.identity_file, "deployment", "nodes are replaced, and take a new one"), "deployment")

    def private_host_key(self, node: str) -> str:
        """What :meth:`host_key` has as ``private``, for those who need no more."""
        return self._private_host_key(node) or self.host_key(node).private

    def _private_host_key(self, node: str) -> str | None:
        text = _read(self._path("hostkeys", node))
        return text if text and text.startswith(_BEGIN) and text.endswith(_END) else None

    def public_host_key(self, node: str) -> str:
        """What :meth:`host_key` has as ``public``, for those who need no more."""
        return _public(self._host_key(node), node)

    def _host_key(self, node: str) -> Ed25519PrivateKey:
        path = self._path("hostkeys", node)
        if self._private_host_key(node) is None:  # half of a key is worth nothing, and holds up this node alone
            with suppress(FileNotFoundError):
                os.unlink(path)
        return _key(path, node, "the node is replaced, and takes a new one")

    def host_key(self, node: str, *, keep: bool = True) -> HostKey:
        """Host key and certificate of a node; made at the first call, the same ever after, unless it is damaged.

        :param keep: keep a certificate that had to be made; else :meth:`keep_certificate` does, once the node has it.
        """
        key = self._host_key(node)
        certificate = _read(self._certificate_file(node))
        if certificate is None or not self._is_current(certificate, key, node):
            certificate = self._sign(key, node)
            if keep:
                self.keep_certificate(node, certificate)
        # The file's own text: the format has random check bytes, and the document of a node must not change by itself.
        return HostKey(t.cast(str, _read(self._path("hostkeys", node))), _public(key, node), certificate.strip())

    def keep_certificate(self, node: str, certificate: str) -> None:
        """The node has it; a file that is right already is left alone."""
        text = f"{certificate.strip()}\n"
        if _read(self._certificate_file(node)) != text:
            write_text(self._certificate_file(node), text, 0o644)

    def _sign(self, key: Ed25519PrivateKey, node: str) -> str:
        now = int(time.time())
        certificate = (
            SSHCertificateBuilder()
            .public_key(key.public_key())
            .serial(secrets.randbits(63))
            .type(SSHCertificateType.HOST)
            .key_id(node.encode())
            .valid_principals([node.encode()])
            .valid_after(now - DAY)  # clocks differ
            .valid_before(now + VALIDITY)
            .sign(self._ca)
        )
        return f"{certificate.public_bytes().decode()} {node}\n"

    def _is_current(self, text: str, key: Ed25519PrivateKey, node: str) -> bool:
        certificate = _certificate(text)
        if certificate is None:
            return False
        try:
            certificate.verify_cert_signature()
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return (
            certificate.signature_key() == self._ca.public_key()
            and certificate.public_key() == key.public_key()
            and certificate.valid_principals == [node.encode()]
            and _in_time(certificate)
        )

    def known_hosts(self, nodes: t.Iterable[str]) -> str:
        """Text of ``known_hosts``: the CA for these nodes and, for clients without certificates, each node's key."""
        names = sorted(nodes)
        if not names:
            return ""
        lines = [f"@cert-authority {','.join(names)} {_public(self._ca, 'host CA')}"]
        lines += [f"{name} {self.public_host_key(name)}" for name in names]
        return "\n".join(lines) + "\n"

    def ssh_config(self, reach: t.Mapping[str, Endpoint], *, own_key: bool = True) -> str:
        """Text of ``ssh_config`` for the nodes, by name; :func:`endpoints` reads it again.

        :param own_key: the key of this directory logs in; else it is one that the user's agent or OpenSSH has.
        """
        lines = []
        for name, endpoint in sorted(reach.items()):
            lines += [f"Host {name}", f"  HostName {endpoint.host}", f"  Port {endpoint.port}"]
            lines.append(f"  HostKeyAlias {name}")
            if endpoint.proxy_command is not None:
                lines.append(f"  ProxyCommand {endpoint.proxy_command}")
        lines += [
            "Host *",
            "  User root",
            *([f'  IdentityFile "{_escape(self.identity_file)}"', "  IdentitiesOnly yes"] if own_key else []),
            "  StrictHostKeyChecking yes",
            "  ServerAliveInterval 5",  # a container that stops says nothing to whoever is connected
            "  ServerAliveCountMax 3",
            f'  UserKnownHostsFile "{_escape(self.known_hosts_file)}"',
            "  GlobalKnownHostsFile none",
        ]
        return "\n".join(lines) + "\n"

    def write_access(self, reach: t.Mapping[str, Endpoint]) -> None:
        """Write ``known_hosts`` and ``ssh_config``; files that are right already are left alone."""
        self.login_public_key()
        texts = {self.known_hosts_file: self.known_hosts(reach), self.ssh_config_file: self.ssh_config(reach)}
        for path, text in texts.items():
            if _read(path) != text:
                write_text(path, text, 0o644)


def endpoints(ssh_config: str) -> dict[str, Endpoint]:
    """How each node is reached, as :meth:`Keys.ssh_config` has written it.

    :raises ComposeError: somebody else has.
    """
    found: dict[str, Endpoint] = {}
    name = ""
    for line in ssh_config.splitlines():
        key, dummy, value = line.strip().partition(" ")
        if key == "Host":
            name = value
        elif name == "*":
            break
        elif key == "HostName":
            found[name] = Endpoint(value)
        elif key not in ("Port", "ProxyCommand"):
            continue
        elif name not in found or (key == "Port" and not re.fullmatch("[0-9]{1,5}", value)):
            raise ComposeError(f"ssh_config: {key} of node {name[:60]!r} is not where, or what, it should be")
        elif key == "Port":
            found[name] = replace(found[name], port=int(value))
        else:
            found[name] = replace(found[name], proxy_command=value)
    return found


def _certificate(text: str) -> SSHCertificate | None:
    """Whatever a file has become; the signature is not verified."""
    try:
        found = load_ssh_public_identity(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, SSHCertificate) else None


def _in_time(certificate: SSHCertificate) -> bool:
    now = time.time()
    return certificate.valid_after <= now and certificate.valid_before > now + RENEW


def _escape(path: str) -> str:
    """ssh_config(5) expands ``%`` tokens in file names."""
    return path.replace("%", "%%")


def _key(path: str, comment: str, without: str) -> Ed25519PrivateKey:
    """Load or make a private key. Its ``.pub`` is only for the user's eyes, so it is written after it and not read.

    :param without: what comes of it if the file is removed.
    """
    if not HAS_CRYPTOGRAPHY:
        raise missing_library("cryptography", what="making the keys of nodes")
    text = _read(path)
    if text is None:
        key = Ed25519PrivateKey.generate()
        write_text(path, _private(key))
    else:
        try:
            loaded = load_ssh_private_key(text.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ComposeError(
                f"{path}: not an SSH private key ({error}). Put back a copy of it, or remove it: {without}"
            ) from None
        if not isinstance(loaded, Ed25519PrivateKey):
            raise ComposeError(f"{path}: expected an ed25519 key")
        key = loaded
        if os.stat(path).st_mode & 0o077:
            os.chmod(path, 0o600)
    public = _public(key, comment) + "\n"
    if _read(f"{path}.pub") != public:
        write_text(f"{path}.pub", public, 0o644)
    return key


def _private(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _public(key: Ed25519PrivateKey, comment: str) -> str:
    return f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


def _read(path: str) -> str | None:
    """The text of a file, whatever it has become; ``None`` if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise ComposeError(
            f"{path} is a directory, expected a file: remove it, and the file is written again"
        ) from None
