"""Functions that the benchmarks share: the host's description, peak memory, and a text table."""

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


class BenchmarkError(Exception):
    """A command failed or did something else than expected, so its time is meaningless."""


def measure_peak_memory() -> int:
    """Return the peak resident memory of this process in bytes.

    On Linux it is read from /proc, since `ru_maxrss` also includes the peak of the parent process.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def describe_host(*more: str) -> str:
    """Return the lines above a table: the date, the host and the versions."""
    now = datetime.now().astimezone()
    load = os.getloadavg()[0]
    programs = [f"Python {platform.python_version()}", f"Django {version('django')}", *more]
    return "\n".join(
        [
            f"{now:%Y-%m-%d %H:%M %Z}, {platform.system()} {platform.machine()}, "
            f"{_get_processor()}, {os.cpu_count()} cores, load before {load:.1f}",
            ", ".join(programs),
        ]
    )


def _get_processor() -> str:
    """Return the kernel's name of the processor, since Python's own is empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown processor"


def format_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text: the first column left-aligned, the others right-aligned."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
