"""What all benchmarks share: what they ran on, how much memory was needed, and a plain table."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

MIB = 1024 * 1024
_STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """The most memory, in bytes, that was resident in this process at a time.

    Read from the kernel's account of the program that runs now: on Linux `ru_maxrss` also
    remembers what the process that started it had needed.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def describe_machine(*more: str) -> str:
    """Lines for above a table: the date, the machine and what runs on it."""
    now = datetime.now().astimezone()
    load = os.getloadavg()[0]
    programs = [f"Python {platform.python_version()}", f"Django {version('django')}", *more]
    return "\n".join(
        [
            f"{now:%Y-%m-%d %H:%M %Z}, {platform.system()} {platform.machine()}, "
            f"{_processor()}, {os.cpu_count()} cores, load before {load:.1f}",
            ", ".join(programs),
        ]
    )


def _processor() -> str:
    """As the kernel calls it, since Python's own answer is empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown processor"


def aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text: the first column to the left, figures to the right."""
    lines = [titles, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
