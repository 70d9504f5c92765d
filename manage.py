#!/usr/bin/env python3
"""Django's own door; `scaiwave manage …` is the same one."""

import sys

from scaiwave.cli import main_manage

if __name__ == "__main__":
    sys.exit(main_manage(sys.argv[1:]))
