"""Run a benchmark in so small a size that its figures are meaningless."""

from __future__ import annotations

import pytest

from scripts.benchmarks.harness import run_benchmark as run_in_process


def run_benchmark(
    name: str, *words: str, capfd: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Return the exit code, and what the benchmark and its processes printed.

    The benchmark runs in this process, so that those that it starts are forked.
    """
    capfd.readouterr()
    exit_code = run_in_process(name, words)
    output = capfd.readouterr()
    return exit_code, output.out, output.err


def run_successfully(name: str, *words: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that a benchmark printed."""
    exit_code, output, errors = run_benchmark(name, *words, capfd=capfd)
    assert (exit_code, errors) == (0, ""), errors
    return output.splitlines()
