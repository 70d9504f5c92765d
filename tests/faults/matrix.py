"""Run a command with a fault, and compare what it leaves with the states before and after it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from tests.faults.commands import COMMANDS, COMMIT, SAVED, SUCCESS, Command
from tests.faults.site import POSTGRESQL, REDIS, S3, SCAIKEY, Site, State
from tests.scaiwave.cli_helpers import CHECKOUT, ProcessResult
from tests.services.faulty_proxy import Fault, FaultKind, find_frame, find_http_body

PLACES = {POSTGRESQL: find_frame, REDIS: find_frame, S3: find_http_body, SCAIKEY: find_http_body}
COUNTERS = "sw_counters"
LITTLE_PATIENCE = "?keepalives_idle=2"
"""How soon a command whose connection stalls asks PostgreSQL for a response."""
TERMINATE = b"X\0\0\0\4"
"""With this message a client of PostgreSQL ends the connection; there is no answer."""
_CODE = re.compile(r"SW_[A-Z_]+")
_ROW_OF_CODE = re.compile(r"^\| `(SW_[A-Z_]+)` \| (\d+) \|", re.MULTILINE)


@dataclass(frozen=True)
class CleanRun:
    """A command without a fault: its result, and what passed between it and one of the servers."""

    result: ProcessResult
    state: State
    requests: list[bytes]
    passed: int

    def find_exchanges(self, contained: bytes) -> list[int]:
        """Return the numbers of the exchanges with a request that contains this, and an answer."""
        return [
            number
            for number, text in enumerate(self.requests, 1)
            if contained in text and text != TERMINATE
        ]

    def choose_exchange(self, moment: str, requests: bytes = b"") -> int:
        if moment.startswith("commit"):
            *_, before, last = [0, *self.find_exchanges(COMMIT)]
            return (before or last) if moment == "commit-before" else last
        numbers = self.find_exchanges(requests)
        # A long run has not always the same number of them.
        last = -1 - len(numbers) // 50
        return numbers[{"first": 0, "middle": len(numbers) // 2, "last": last}[moment]]

    def make_fault(self, kind: FaultKind, exchange: int, via: str) -> Fault:
        return Fault(kind, exchange, place=PLACES[via], pieces=max(self.passed // 100, 7))


@dataclass
class Matrix:
    """The commands of a site, with and without faults."""

    site: Site
    clean_runs: dict[tuple[str, str], CleanRun] = field(default_factory=dict)

    def get_clean_run(self, name: str, via: str) -> CleanRun:
        if (name, via) not in self.clean_runs:
            command, proxy = COMMANDS[name], self.site.proxies[via]
            self.site.reset(with_jobs=command.needs_jobs)
            result = self.site.run(command.words, via=via, **command.changes)
            assert result.code == 0, result
            requests, passed = proxy.requests, proxy.passed
            self.clean_runs[name, via] = CleanRun(result, self.site.read_state(), requests, passed)
        return self.clean_runs[name, via]

    def assert_handled(self, name: str, via: str, fault: Fault, expected: Sequence[str]) -> None:
        """Run a command with a fault, and without it if it has failed."""
        command, clean = COMMANDS[name], self.get_clean_run(name, via)
        proxy = self.site.proxies[via]
        self.site.reset(with_jobs=command.needs_jobs)
        before = self.site.read_state()
        proxy.expect(fault)
        self.site.patience = LITTLE_PATIENCE if fault.kind is FaultKind.FREEZE else ""
        ended = self.site.run(command.words, via=via, **command.changes)
        self.site.patience, strikes = "", proxy.strikes
        proxy.expect(None)
        if get_code(ended) == SUCCESS and self._has_left_jobs(command):
            ended = self.site.run(command.words, via=via, **command.changes)
        after = self.site.read_state()
        assert strikes, "The command did not meet the fault."
        code = get_code(ended)
        assert code in expected, (code, ended)
        # The metrics count an act after its commit, and not if the connection breaks there.
        logs = command.logs | ({COUNTERS} if via == POSTGRESQL else set())
        if code == SUCCESS or (code == SAVED and not command.has_steps):
            assert_like_success(after, clean, logs)
            return
        if not command.has_steps:
            differences = after.find_differences(before, logs)
            assert set(differences) <= command.leftovers, ended
            # Files that no import announces would stay for ever.
            assert "objects" not in differences or "sw_import_intents" in differences
        if command.recovery and any("failed" in job for job in after.queue):
            recovered = self.site.run(command.recovery, via=via)
            assert recovered.code == 0, recovered
        again = self.site.run(command.words, via=via, **command.changes)
        assert get_code(again) in {SUCCESS, command.completed}, again
        assert_like_success(self.site.read_state(), clean, logs)

    def _has_left_jobs(self, command: Command) -> bool:
        """Return whether the worker has left a job, in which case the next one runs it."""
        if self.site.age_taken_jobs():
            return True
        return command.needs_jobs and self.site.has_waiting_jobs()


def assert_like_success(state: State, clean: CleanRun, ignored: AbstractSet[str]) -> None:
    ours, expected = (
        Counter((name, row) for name, part in each.masked(ignored).items() for row in part)
        for each in (state, clean.state)
    )
    differences = {"too many": ours - expected, "missing": expected - ours}
    assert ours == expected, differences


def get_code(ended: ProcessResult) -> str:
    """Return the code of the error, and check that the exit code is the documented one."""
    assert "Traceback" not in ended.err, ended.err
    if ended.code == 0 and "Job failed" not in ended.err:
        return SUCCESS
    code = str(_CODE.findall(ended.err + ended.out)[0])
    if ended.code:
        assert ended.code == EXIT_CODES[code], ended
    return code


def read_exit_codes() -> dict[str, int]:
    page = (CHECKOUT / "docs/reference/troubleshooting.md").read_text(encoding="utf-8")
    return {code: int(exit_code) for code, exit_code in _ROW_OF_CODE.findall(page)}


EXIT_CODES = read_exit_codes()
