"""Stands in for the script with which ansible-test puts pip into its virtual environments.

ansible-test would download it; this one takes pip from the interpreter itself and everything else from the index that
pip is configured for. tests/tools/sanity.sh puts it where ansible-test looks for its download.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

ensurepip.bootstrap()
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
if os.path.exists(CA_BUNDLE):
    arguments += ["--cert", CA_BUNDLE]  # ansible-test passes no environment on, and old versions of pip bring their own
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *arguments]))
