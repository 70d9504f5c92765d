"""Wait for a signal."""

from __future__ import annotations

import time


def wait(seconds: float) -> None:
    """Wait, in short steps: a signal just before a long sleep would be noticed at its end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
