#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what the collection says to people, one a line: file, line, text, with ``…`` for what is put in.

Usage: messages.py [WORDS]   only those with the words
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests/unit"), str(ROOT / "tests/e2e"), str(ROOT / ".cache/collections")]

from test_docs import said  # noqa: E402

#: What a sentence has: words, with spaces in between. Patterns, commands and paths have other things.
SENTENCE = re.compile(r"(?:^|[\s(…'])[A-Za-z]{2,}(?:'[a-z]+)?[,:;]? [A-Za-z…(]")

if __name__ == "__main__":
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        for line, text in [] if path.is_symlink() else sorted(said(path)):
            if SENTENCE.search(text) and " ".join(sys.argv[1:]) in text:
                print(f"{path.relative_to(ROOT)}:{line}: {' '.join(text.split())}")
