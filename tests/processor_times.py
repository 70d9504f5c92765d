"""Print which test files take most processor time: SCAIWAVE_TEST_TIMES=1 with any run.

Processor seconds hardly depend on what else the host does, so that two runs can be compared. They
include processes that have ended, but not PostgreSQL and Redis.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

FILES_PRINTED = 25


class ProcessorTimes:
    """A plugin of pytest for the main process and for those of xdist, which report to it.

    It counts hundredths of seconds, which is what the system counts.
    """

    def __init__(self) -> None:
        self.in_tests: Counter[str] = Counter()
        self.in_processes: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before = _count_hundredths()
        result = yield
        after = _count_hundredths()
        path = item.nodeid.partition("::")[0]
        self.in_tests[path] += after[0] - before[0]
        self.in_processes[path] += after[1] - before[1]
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["processor_times"] = (dict(self.in_tests), dict(self.in_processes))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})  # A process that has crashed has none.
        in_tests, in_processes = output.get("processor_times", ({}, {}))
        self.in_tests.update(in_tests)
        self.in_processes.update(in_processes)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = self.in_tests + self.in_processes
        write = terminalreporter.write_line
        terminalreporter.section("processor seconds: tests, processes that they started, file")
        for path, _ in total.most_common(FILES_PRINTED):
            write(f"{self.in_tests[path] / 100:8.1f} {self.in_processes[path] / 100:8.1f}  {path}")
        all_tests, all_processes = self.in_tests.total(), self.in_processes.total()
        write(f"{all_tests / 100:8.1f} {all_processes / 100:8.1f}  all files")


def _count_hundredths() -> tuple[int, int]:
    """Return the processor time of this process, and of its processes that have ended."""
    times = os.times()
    own, below = times.user + times.system, times.children_user + times.children_system
    return round(100 * own), round(100 * below)
