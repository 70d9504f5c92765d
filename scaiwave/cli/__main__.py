"""`python -m scaiwave.cli`, for environments without the console script on the PATH."""

from __future__ import annotations

import sys

from scaiwave.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
