"""What the tests of registration share: a server of its own, and the far end's decisions."""

from __future__ import annotations

import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from identity_sync.services.registration.answers import Console, RegistrationFlags
from identity_sync.services.registration.register import (
    RegistrationContext,
    RegistrationResult,
    register,
)
from scaiwave.auth.operators import Operator, Role
from scaiwave.config import Configuration, load
from scaiwave.errors import ConfirmationNeeded
from scaiwave.sandbox import Sandbox

HOST = Operator("ops@example.com", Role.HOST, origin="machine")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def nobody_there(question: str, *, flag: str, default: str = "") -> str:
    if default:
        return default
    raise ConfirmationNeeded(f"{question} is not given.", fix=f"Pass {flag}.")


@dataclass
class Server:
    """One home of this server, and how to run `sync register` in it."""

    home: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def config(self) -> Configuration:
        """Read afresh, as each process does."""
        return load({"SCAIWAVE_HOME": str(self.home), **self.environment})

    @property
    def receipt(self) -> Path:
        return self.home / "scaikey-registration.json"

    @property
    def env_file(self) -> Path:
        return self.home / ".env"

    def run(self, *, operator: Operator = HOST, wait: float | None = None) -> RegistrationContext:
        talk = Console(ask=nobody_there, say=self.said.append, interactive=False)
        return RegistrationContext(
            operator=operator, config=self.config, talk=talk, clock=lambda: NOW, wait=wait
        )

    def given(self, **changes: Any) -> RegistrationFlags:
        answers = {
            "url": self.url,
            "name": "chat",
            "scope": "GLOBAL",
            "contact_email": "ops@example.com",
        }
        return RegistrationFlags(**{**answers, **changes})

    def register(self, *, wait: float | None = None, **options: Any) -> RegistrationResult:
        """With all answers given."""
        return register(self.run(wait=wait), given=self.given(), **options)

    def resume(self, *, wait: float | None = None, **options: Any) -> RegistrationResult:
        """As an operator types it the second time, without any answer."""
        return register(self.run(wait=wait), given=RegistrationFlags(), **options)


def before_the_answer(sandbox: Sandbox, act: Callable[[], object]) -> None:
    """Let something happen once on this machine while ScaiKey makes up an answer about status."""
    retrieve = sandbox.registrations.retrieve

    def hooked(pending: Any) -> bool:
        sandbox.registrations.retrieve = retrieve  # type: ignore[method-assign]
        act()
        return retrieve(pending)

    sandbox.registrations.retrieve = hooked  # type: ignore[method-assign]


def set_file_size_limit(size: int) -> None:
    """Bytes that any file may have from now on; -1 lifts it."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def file_size_limit_lifted(*, before: int = resource.RLIM_INFINITY) -> Iterator[None]:
    """Lift the limit at the end, whoever has set it; `before` is the limit until then."""
    set_file_size_limit(before)
    try:
        yield
    finally:
        set_file_size_limit(resource.RLIM_INFINITY)


def approve(sandbox: Sandbox, request_id: str) -> None:
    sandbox.registrations.decide(request_id, "APPROVED")


def requests_for_status(sandbox: Sandbox) -> int:
    return sandbox.requests.count("*/status")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
