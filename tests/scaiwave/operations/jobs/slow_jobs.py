"""Functions that a test allows as jobs."""

from __future__ import annotations

import time


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
