"""Time commands, and call functions in processes of their own with the environment of a server.

`python -m scripts.benchmarks.processes MODULE FUNCTION ARGUMENTS` calls a function, and prints what
it returns as JSON. With DJANGO_SETTINGS_MODULE it sets up Django before.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[2]
DEVNULL = Path(os.devnull)
_STATUS = Path("/proc/self/status")
_SYNC_CALLS = "fsync,fdatasync,msync,sync,syncfs,sync_file_range"

# The console script, which reports its peak memory at the end. That adds some 10 ms to the time
# that the parent process measures.
_CONSOLE = """
import os, sys
from scaiwave.cli import main
code = main(sys.argv[2:])
sys.stdout.flush()
from scripts.benchmarks.processes import measure_peak_memory
os.write(int(sys.argv[1]), str(measure_peak_memory()).encode())
sys.exit(code)
"""

Run = dict[str, Any]
"""Measurements of one run: `seconds`, `processor` (seconds too) and `peak_memory` in bytes."""


class BenchmarkError(Exception):
    """A command failed or did something else than expected, so its time is meaningless."""


class Clock:
    """Seconds, and processor seconds of this process and of the ended ones that it started."""

    def __init__(self) -> None:
        self.started, self.processor = time.perf_counter(), _measure_processor()

    def read(self) -> Run:
        seconds = time.perf_counter() - self.started
        return {"seconds": seconds, "processor": _measure_processor() - self.processor}


def _measure_processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + usage.ru_utime + usage.ru_stime


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


def time_pipeline(
    *pipeline: Sequence[str],
    environment: dict[str, str],
    source: Path | None = None,
    target: Path | None = None,
    sync_ms: float = 0,
    pass_fds: tuple[int, ...] = (),
) -> Run:
    """Return the seconds from the start of the first command to the end of the last.

    The first reads `source`, the last writes `target`; the default of both is /dev/null. Each sync
    takes `sync_ms` longer. Raises `BenchmarkError` if a command fails; stderr is not captured.
    """
    commands = [[*slow_disk(sync_ms), *command] for command in pipeline]
    clock = Clock()
    with ExitStack() as stack:
        previous: Any = stack.enter_context((source or DEVNULL).open("rb"))
        last: Any = stack.enter_context((target or DEVNULL).open("wb"))
        processes = []
        for number, command in enumerate(commands, 1):
            process = subprocess.Popen(
                command,
                cwd=TOP,
                env=environment,
                stdin=previous,
                stdout=last if number == len(commands) else subprocess.PIPE,
                pass_fds=pass_fds,
            )
            # The process has its own copy. An open one would keep the writer before it from
            # noticing that its reader has ended.
            previous.close()
            previous = process.stdout
            processes.append(process)
        codes = [process.wait() for process in processes]
    if any(codes):
        failed = pipeline[codes.index(max(codes, key=abs))]
        raise BenchmarkError(f"`{failed[0]}` failed; see above.")
    return clock.read()


def time_scaiwave(*words: str, environment: dict[str, str], **options: Any) -> Run:
    """Run `scaiwave` in a process of its own, and measure its memory too.

    The options are the same as in `time_pipeline`.
    """
    read_end, write_end = os.pipe()
    command = [sys.executable, "-c", _CONSOLE, str(write_end), *words]
    with os.fdopen(read_end, "rb") as memory_report:
        try:
            run = time_pipeline(command, environment=environment, pass_fds=(write_end,), **options)
        finally:
            os.close(write_end)
        return {**run, "peak_memory": int(memory_report.read())}


def slow_disk(sync_ms: float) -> list[str]:
    """Return the words before a command that make each sync of the disk take longer.

    Threads that sync at the same time wait at the same time, as for a file system that writes what
    several of them wait for at once. Other system calls run at full speed. Raises `BenchmarkError`
    without strace.
    """
    if not sync_ms:
        return []
    if (strace := shutil.which("strace")) is None:
        raise BenchmarkError(
            "strace is not installed, which makes syncs slower.\n"
            "Install it, on Debian with `apt install strace`, or leave out --sync-ms."
        )
    delay = f"inject={_SYNC_CALLS}:delay_exit={round(sync_ms * 1000)}"
    options = ("-f", "-qq", "--seccomp-bpf", "-o", os.devnull)
    return [strace, *options, "-e", f"trace={_SYNC_CALLS}", "-e", delay]


def build_call(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """Return a command that calls a function of a module with arguments that JSON can hold."""
    words = (function.__module__, function.__name__, json.dumps(arguments))
    return [sys.executable, "-m", "scripts.benchmarks.processes", *words]


def call(
    function: Callable[..., Any],
    *arguments: Any,
    environment: dict[str, str],
    sync_ms: float = 0,
) -> Any:
    """Call a function in a process of its own, with Django; return its result."""
    process = subprocess.run(
        [*slow_disk(sync_ms), *build_call(function, *arguments)],
        cwd=TOP,
        env={**environment, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    if process.returncode:
        raise BenchmarkError(f"`{function.__name__}` failed; see above.")
    return json.loads(process.stdout or "null")


def main(module: str, function: str, arguments: str) -> None:
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        import django

        django.setup()
    result = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    if result is not None:
        print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
