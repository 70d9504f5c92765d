"""What a smoke test found, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from scaiwave.errors import ScaiWaveError


class Outcome(Enum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class SmokeTestStep:
    name: str
    outcome: Outcome
    message: str
    seconds: float | None = None
    error: ScaiWaveError | None = None

    def lines(self) -> list[str]:
        taken = "" if self.seconds is None else f"{self.seconds:.2f} s"
        code = f" [{self.error.code}]" if self.error else ""
        first = f"{self.outcome.value}  {self.name:<10}  {taken:>8}  {self.message}{code}"
        return [first, f"      Fix: {self.error.fix}"] if self.error and self.error.fix else [first]

    def document(self) -> dict[str, Any]:
        told = self.error.details if self.error else {}
        return {
            "step": self.name,
            "outcome": self.outcome.value,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "message": self.message,
            "code": self.error.code if self.error else "",
            "fix": self.error.fix if self.error else "",
            "upstream_code": told.get("upstream_code", ""),
            "request_id": told.get("request_id", ""),
        }


@dataclass(frozen=True)
class SmokeTest:
    steps: list[SmokeTestStep]

    @property
    def exit_code(self) -> int:
        """That of the first step that failed: what comes later may fail because of it."""
        return next((step.error.exit_code for step in self.steps if step.error), 0)

    @property
    def sentence(self) -> str:
        count = {each: sum(step.outcome is each for step in self.steps) for each in Outcome}
        if count[Outcome.FAIL]:
            return f"{count[Outcome.FAIL]} of {len(self.steps)} steps failed."
        return f"{count[Outcome.PASS]} of {len(self.steps)} steps passed, none failed."

    def document(self) -> dict[str, Any]:
        return {"ok": self.exit_code == 0, "steps": [step.document() for step in self.steps]}
