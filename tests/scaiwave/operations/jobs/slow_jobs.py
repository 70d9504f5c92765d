"""Functions that a test allows as jobs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def sleep() -> None:
    """Catch what it can, as a badly written job may do."""
    try:
        time.sleep(30)
    except Exception:  # noqa: BLE001 - the time limit must pass
        time.sleep(30)


def divide() -> float:
    return 1 / int("0")


def end() -> None:
    """End at once."""


def rest() -> None:
    """End at once, too."""


def leave_a_trap(*arguments: Any) -> None:
    """What a planted callback names."""
    Path(os.environ["PLANTED_TRAP"]).touch()
