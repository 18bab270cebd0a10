# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that speaks NFS 3 on this host's loopback interface; it needs no kernel that can."""

from __future__ import annotations

import socket
import subprocess
import time
import typing as t
from contextlib import ExitStack, contextmanager
from pathlib import Path

#: Where clients are told the port of the mount protocol; that of NFS, which they know; what they call the directory.
_RPCBIND, PORT, EXPORTED = 111, 2049, "/compose"

CONFIGURATION = """
NFS_Core_Param {{
    Protocols = 3; NFS_Port = {port}; Bind_addr = 127.0.0.1; mount_path_pseudo = true;
    Enable_NLM = false; Enable_RQUOTA = false;
}}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
    Export_Id = 1; Path = "{directory}"; Pseudo = "{exported}";
    Access_Type = RO; Squash = Root_Squash; SecType = sys;
    FSAL {{ Name = VFS; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""


@contextmanager
def exported(directory: Path, state: Path) -> t.Iterator[None]:
    """Machines whose network ends at this host have a directory as ``EXPORTED``, read-only, while the body runs.

    :param state: a directory for its own files.
    """
    configuration, log = state / "ganesha.conf", state / "log"
    log.touch()
    configuration.write_text(CONFIGURATION.format(port=PORT, directory=directory, exported=EXPORTED))
    for path in ("/run/rpcbind", "/run/ganesha"):
        Path(path).mkdir(exist_ok=True)  # where the packages' units have them made
    with ExitStack() as servers:
        if not _answers(_RPCBIND):
            servers.enter_context(_serving(["rpcbind", "-f"], _RPCBIND, log))
        command = ["ganesha.nfsd", "-F", "-f", str(configuration), "-L", str(log), "-p", str(state / "pid")]
        servers.enter_context(_serving(command, PORT, log))
        yield


@contextmanager
def _serving(command: t.Sequence[str], port: int, log: Path) -> t.Iterator[None]:
    """A server runs, and answers at a port, while the body runs."""
    with subprocess.Popen(command) as process:
        try:
            begin = time.monotonic()
            while not _answers(port):
                assert process.poll() is None and time.monotonic() - begin < 60, log.read_text()[-2000:]
                time.sleep(0.2)
            yield
        finally:
            process.kill()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
