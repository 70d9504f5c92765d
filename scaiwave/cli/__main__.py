"""`python -m scaiwave.cli`, where the console script is not on the PATH."""

from __future__ import annotations

import sys

from scaiwave.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
