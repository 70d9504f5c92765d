"""Create sample rooms, time commands and pipelines, and measure the memory of `scaiwave`."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.benchmarks.databases import TOP
from scripts.benchmarks.metrics import BenchmarkError

# The console script, which reports its peak memory at the end. That adds some 10 ms to the time
# that the parent process measures.
_CONSOLE = """
import os, sys
from scaiwave.cli import main
code = main(sys.argv[2:])
sys.stdout.flush()
from scripts.benchmarks.metrics import measure_peak_memory
os.write(int(sys.argv[1]), str(measure_peak_memory()).encode())
sys.exit(code)
"""

DEVNULL = Path(os.devnull)
_SYNC_CALLS = "fsync,fdatasync,msync,sync,syncfs,sync_file_range"

Run = dict[str, Any]
EXPORT, IMPORT = "scaiwave room export", "scaiwave room import"
TENANT, WORKSPACE = "bench", "bench"


def time_pipeline(
    *pipeline: Sequence[str],
    environment: dict[str, str],
    source: Path | None = None,
    target: Path | None = None,
    sync_ms: float = 0,
) -> Run:
    """Return the seconds from the start of the first command to the end of the last.

    `processor` is the time that the commands, but no server, used the processor. The first reads
    `source`, the last writes `target`; the default of both is /dev/null. Each sync takes `sync_ms`
    longer.
    """
    slowed = [[*slow_disk(sync_ms), *command] for command in pipeline]
    started, processor = time.perf_counter(), _measure_processor()
    _run_pipeline(slowed, environment, source, target)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "processor": _measure_processor() - processor}


def time_scaiwave(
    *words: str,
    environment: dict[str, str],
    source: Path | None = None,
    target: Path | None = None,
    sync_ms: float = 0,
) -> Run:
    """Run `scaiwave` in a process of its own; return its seconds and its peak memory in bytes."""
    read_end, write_end = os.pipe()
    command = [*slow_disk(sync_ms), sys.executable, "-c", _CONSOLE, str(write_end), *words]
    with os.fdopen(read_end, "rb") as memory_report:
        started, processor = time.perf_counter(), _measure_processor()
        try:
            _run_pipeline([command], environment, source, target, pass_fds=(write_end,))
        finally:
            os.close(write_end)
        return {
            "seconds": time.perf_counter() - started,
            "processor": _measure_processor() - processor,
            "peak_memory": int(memory_report.read()),
        }


def slow_disk(sync_ms: float) -> list[str]:
    """Return the words before a command for which each sync of the disk takes longer.

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


def seed_sample_rooms(
    environment: dict[str, str], output_file: Path, *words: str
) -> dict[str, Any]:
    """Run `seed_rooms`; return its JSON document, which is written to `output_file`."""
    target_words = ("--tenant", TENANT, "--workspace", WORKSPACE, "--json")
    time_scaiwave(
        "manage", "seed_rooms", *target_words, *words, environment=environment, target=output_file
    )
    document: dict[str, Any] = json.loads(output_file.read_bytes())
    return document


def _measure_processor() -> float:
    """Return the processor seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run_pipeline(
    pipeline: Sequence[Sequence[str]],
    environment: dict[str, str],
    source: Path | None,
    target: Path | None,
    pass_fds: tuple[int, ...] = (),
) -> None:
    """Raises `BenchmarkError` if a command fails; its stderr is not captured."""
    with ExitStack() as stack:
        previous: Any = stack.enter_context((source or DEVNULL).open("rb"))
        last: Any = stack.enter_context((target or DEVNULL).open("wb"))
        processes = []
        for number, command in enumerate(pipeline, 1):
            process = subprocess.Popen(
                command,
                cwd=TOP,
                env=environment,
                stdin=previous,
                stdout=last if number == len(pipeline) else subprocess.PIPE,
                pass_fds=pass_fds,
            )
            # The process has its own copy. An open one would keep the writer before it from
            # noticing that its reader has ended.
            previous.close()
            previous = process.stdout
            processes.append(process)
        codes = [process.wait() for process in processes]
    if any(codes):
        raise BenchmarkError(
            f"`{pipeline[codes.index(max(codes, key=abs))][0]}` failed; see above."
        )
