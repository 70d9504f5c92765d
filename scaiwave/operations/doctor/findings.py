"""Checks, and the findings that they return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError


class State(Enum):
    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `exit_code` counts if the state is FAIL."""

    check: str
    state: State
    message: str
    fix: str = ""
    exit_code: int = 1
    code: str = ""

    def document(self) -> dict[str, object]:
        return {
            "check": self.check,
            "state": self.state.value,
            "message": self.message,
            "fix": self.fix,
            "code": self.code,
        }


CheckFunction = Callable[[Configuration, datetime], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """A check. One that needs the database is skipped if that can't be used.

    `clean_up` runs before it, and completes what an interrupted command has begun. With `doctor
    --fix`, `fix` runs before all checks, and repairs what needs no decision.
    """

    name: str
    run: CheckFunction
    needs_database: bool = True
    clean_up: CheckFunction | None = None
    fix: CheckFunction | None = None


def passed(check: str, message: str) -> Finding:
    return Finding(check, State.PASS, message)


def warned(check: str, message: str, fix: str) -> Finding:
    return Finding(check, State.WARN, message, fix)


def failed(check: str, error: ScaiWaveError) -> Finding:
    return Finding(check, State.FAIL, error.message, error.fix, error.exit_code, error.code)


def format_advice(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the fix of each finding that has one, and the same fix of a check once."""
    for check, fix in dict.fromkeys((finding.check, finding.fix) for finding in findings):
        if fix:
            yield f"  {check}: {fix}"
