"""Let the suite use httpx2, a maintained fork of httpx: `pytest -p tests.httpx_fork`.

httpx has had no release since December 2024. With this plugin the tests of the HTTP clients show
that the suite needs nothing which the fork lacks, so that it can replace httpx.
"""

from __future__ import annotations

import logging
import sys

import httpcore2
import httpx2

sys.modules |= {"httpx": httpx2, "httpcore": httpcore2}
# The settings do so for httpx by its name: it logs each request with its query.
for name in ("httpx2", "httpcore2"):
    logging.getLogger(name).setLevel(logging.WARNING)
