"""Makes rooms; runs commands and pipelines by the clock, and `scaiwave` with its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.benchmarks.databases import TOP

# The console script, which at the end tells how much memory it needed. By then the clock of
# whoever started it shows some 10 ms more than without it.
_CONSOLE = """
import os, sys
from scaiwave.cli import main
code = main(sys.argv[2:])
sys.stdout.flush()
from scripts.benchmarks.measure import peak_memory
os.write(int(sys.argv[1]), str(peak_memory()).encode())
sys.exit(code)
"""

DEVNULL = Path(os.devnull)

Run = dict[str, Any]
EXPORT, IMPORT = "scaiwave room export", "scaiwave room import"
TENANT, WORKSPACE = "bench", "bench"


class Wrong(Exception):
    """Something else happened than should, so its time says nothing."""


def timed(
    *pipeline: Sequence[str],
    environment: dict[str, str],
    source: Path | None = None,
    target: Path | None = None,
) -> Run:
    """Seconds from the start of the first command to the end of the last.

    The first reads `source`, the last writes `target`; the default of both is /dev/null.
    """
    began = time.perf_counter()
    _run(pipeline, environment, source, target)
    return {"seconds": time.perf_counter() - began}


def console(
    *words: str,
    environment: dict[str, str],
    source: Path | None = None,
    target: Path | None = None,
) -> Run:
    """One run of `scaiwave`, in a process of its own: seconds, and the peak of its memory."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", _CONSOLE, str(theirs), *words]
    with os.fdopen(ours, "rb") as told:
        began = time.perf_counter()
        try:
            _run([command], environment, source, target, keep=(theirs,))
        finally:
            os.close(theirs)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "peak_memory": int(told.read())}


def seeded(environment: dict[str, str], answer: Path, *words: str) -> dict[str, Any]:
    """What `seed_rooms` says it made; `answer` takes it."""
    places = ("--tenant", TENANT, "--workspace", WORKSPACE, "--json")
    console("manage", "seed_rooms", *places, *words, environment=environment, target=answer)
    made: dict[str, Any] = json.loads(answer.read_bytes())
    return made


def _run(
    pipeline: Sequence[Sequence[str]],
    environment: dict[str, str],
    source: Path | None,
    target: Path | None,
    keep: tuple[int, ...] = (),
) -> None:
    """Raises `Wrong` when one of them fails; what it says on stderr is there to see."""
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
                pass_fds=keep,
            )
            previous.close()  # it is the process's now; else the one before never hears of its end
            previous = process.stdout
            processes.append(process)
        codes = [process.wait() for process in processes]
    if any(codes):
        raise Wrong(f"`{pipeline[codes.index(max(codes, key=abs))][0]}` failed; see above.")
