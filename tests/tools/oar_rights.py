# SPDX-License-Identifier: GPL-3.0-or-later
"""What OAR's server does before and after each job: who has a job of type deploy may deploy its nodes, nobody else.

Usage: oar_rights.py grant|withdraw URL JOB, where URL is that of Kadeploy's REST interface.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

_TIMEOUT = 20


def main(verb: str, url: str, job: str) -> None:
    command = ["oarstat", "-J", "-j", job]
    told = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True).stdout
    about = json.loads(told)[job]
    if "deploy" not in about["types"]:
        return
    user, nodes = about["owner"], sorted(set(about["assigned_network_address"]))
    headers = {"X-Kadeploy-User": "root", "Content-Type": "application/json", "Accept": "application/json"}
    if verb == "grant":
        body = {"username": user, "nodes": nodes, "overwrite": True}
        request = urllib.request.Request(f"{url}/rights", json.dumps(body).encode(), headers)
    else:
        body = {"nodes": nodes}
        request = urllib.request.Request(f"{url}/rights/{user}", json.dumps(body).encode(), headers, method="DELETE")
    urllib.request.urlopen(request, timeout=_TIMEOUT).close()


if __name__ == "__main__":
    main(*sys.argv[1:])
