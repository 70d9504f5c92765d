#!/usr/bin/env python3
"""Django's own door; `scaiwave manage …` is the same one."""

import sys

from scaiwave.cli import manage

if __name__ == "__main__":
    sys.exit(manage(sys.argv[1:]))
