#!/usr/bin/env python3
"""Fill the index of `scaiwave room search`, and correct it after messages changed.

Without --execute, print what there is to do and change nothing; with it, do as the command
`scaiwave room search-index` does, which needs no checkout. All other options are the command's:
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scaiwave.cli.entry import main as run_scaiwave
from scaiwave.cli.entry import run_guarded, wants_json
from scaiwave.core.errors import UsageError

NEEDING_EXECUTE = ("--inline", "--restart")


def main(words: Sequence[str]) -> int:
    rest = [word for word in words if word != "--execute"]
    if {"-h", "--help"} & {*rest}:
        print(__doc__)
    elif len(rest) == len(words):
        if {*NEEDING_EXECUTE} & {*rest}:
            raise UsageError(
                f"{' and '.join(NEEDING_EXECUTE)} need --execute.",
                fix="Add --execute, or leave them out.",
            )
        rest.append("--dry-run")
    return run_scaiwave(["room", "search-index", *rest])


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(run_guarded(lambda: main(given), as_json=wants_json(given)))
