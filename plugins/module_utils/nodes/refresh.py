# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a running node a new node document. PRIVATE to the collection."""

from __future__ import annotations

import json
import shlex

from ..errors import CommandError
from ..model.codec import encode
from ..model.deployment import Node
from ..model.document import NodeDocument
from .connection import HANDSHAKE, connect
from .endpoint import Endpoint
from .keys import Keys

#: Secrets travel on standard input: command lines can be seen by everybody. An image from before 0.1.0 leaves the new
#: document where it is, and applies what is in the place of the old one.
_APPLY = """\
umask 077 && cat >/run/compose/node.json.new && /usr/lib/compose/apply-node refresh &&
if [ -e /run/compose/node.json.new ]; then
    mv /run/compose/node.json.new /run/compose/node.json && /usr/lib/compose/apply-node refresh
fi || exit
"""
#: Images leave their certificate as it is. sshd(8) reads it anew without ending what is connected; where one is started
#: for each connection, there is nobody to be told.
_CERTIFY = """\
file=/run/compose/ssh/host_key-cert.pub
[ "$(cat $file 2>/dev/null)" = {certificate} ] || {{
    printf '%s\\n' {certificate} >$file.new && mv $file.new $file || exit
    kill -HUP "$(cat /run/sshd.pid /var/run/sshd.pid 2>/dev/null | head -n 1)" 2>/dev/null || :
}}"""


def push_document(node: Node, endpoint: Endpoint, keys: Keys, document: NodeDocument) -> None:
    """Replace ``/run/compose/node.json`` and let the node apply it; see docs/formats.md.

    :raises ComposeError: the node cannot be reached, or refuses the document.
    """
    connection = connect(node.name, endpoint, keys)
    try:
        certify = _CERTIFY.format(certificate=shlex.quote(document.ssh.host_certificate.strip()))
        output = connection.feed(_APPLY + certify, json.dumps(encode(document)).encode(), HANDSHAKE)
    finally:
        connection.close()
    if output.returncode != 0:
        text = (output.stdout + output.stderr).decode("utf-8", "replace")
        error = CommandError("/usr/lib/compose/apply-node refresh", output.returncode, text)
        error.node = node.name
        raise error
