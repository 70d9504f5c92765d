"""Helpers for tests of registration: a server with a home directory, and ScaiKey's decisions."""

from __future__ import annotations

import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from identity_sync.registration.answers import Console, RegistrationContext, RegistrationFlags
from identity_sync.registration.register import RegistrationResult, register
from scaiwave.config import Configuration, load
from scaiwave.core.errors import ConfirmationNeeded
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox

HOST_OPERATOR = Operator("ops@example.com", OperatorRole.HOST, origin="host")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def answer_with_default(question: str, *, flag: str, default: str = "") -> str:
    if default:
        return default
    raise ConfirmationNeeded(f"{question} is not given.", fix=f"Pass {flag}.")


@dataclass
class ServerHome:
    """One home directory of this server, and how to run `sync register` in it."""

    home: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def config(self) -> Configuration:
        """Read again, as each process does."""
        return load({"SCAIWAVE_HOME": str(self.home), **self.environment})

    @property
    def receipt(self) -> Path:
        return self.home / "scaikey-registration.json"

    @property
    def env_file(self) -> Path:
        return self.home / ".env"

    def make_context(
        self, *, operator: Operator = HOST_OPERATOR, wait: float | None = None
    ) -> RegistrationContext:
        console = Console(prompt=answer_with_default, log=self.messages.append, interactive=False)
        return RegistrationContext(
            operator=operator,
            config=self.config,
            console=console,
            clock=lambda: NOW,
            wait_seconds=wait,
        )

    def make_flags(self, **changes: Any) -> RegistrationFlags:
        flags = {
            "url": self.url,
            "name": "chat",
            "scope": "GLOBAL",
            "contact_email": "ops@example.com",
        }
        return RegistrationFlags(**{**flags, **changes})

    def register(self, *, wait: float | None = None, **options: Any) -> RegistrationResult:
        """Register with all answers passed as flags."""
        return register(self.make_context(wait=wait), flags=self.make_flags(), **options)

    def resume(self, *, wait: float | None = None, **options: Any) -> RegistrationResult:
        """Run `sync register` without flags, to continue."""
        return register(self.make_context(wait=wait), flags=RegistrationFlags(), **options)


def run_before_answer(sandbox: Sandbox, act: Callable[[], object]) -> None:
    """Run `act` once on this host before ScaiKey answers a request for the status."""
    claim = sandbox.registrations.claim_credentials

    def claim_after_act(pending: Any) -> bool:
        sandbox.registrations.claim_credentials = claim  # type: ignore[method-assign]
        act()
        return claim(pending)

    sandbox.registrations.claim_credentials = claim_after_act  # type: ignore[method-assign]


def set_file_size_limit(size: int) -> None:
    """Limit the size of every file that this process writes, in bytes."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def file_size_limit(size: int = resource.RLIM_INFINITY) -> Iterator[None]:
    """Set the limit, and lift it at the end, also one that was set in between."""
    set_file_size_limit(size)
    try:
        yield
    finally:
        set_file_size_limit(resource.RLIM_INFINITY)


def approve(sandbox: Sandbox, request_id: str) -> None:
    sandbox.registrations.decide(request_id, "APPROVED")


def count_status_requests(sandbox: Sandbox) -> int:
    return sandbox.requests.count("*/status")


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
