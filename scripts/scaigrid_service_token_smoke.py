#!/usr/bin/env python3
"""Check the connection to ScaiGrid. Run it first on SW_AI_NO_TOKEN.

    python scripts/scaigrid_service_token_smoke.py [--embed] [--accounting] [--tenant SLUG] [--json]

The same as `scaiwave scaigrid check`, which needs no checkout. Run it from the project root with
the server's own Python. It reads the server's configuration and changes nothing.
Exit codes: 0 success; 1 a model is missing, or a budget is used up; 2 configuration, or a server
can't be reached; 3 credentials refused, or a permission is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scaiwave.cli import main

if __name__ == "__main__":
    sys.exit(main(["scaigrid", "check", *sys.argv[1:]]))
