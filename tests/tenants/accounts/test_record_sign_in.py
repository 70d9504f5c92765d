from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tenants.accounts import record_sign_in as module
from tenants.accounts.record_sign_in import (
    SignInOutcome,
    record_scaikey_failure,
    record_sign_in,
)
from tenants.models import AuditEntry

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LIMIT = 3


def fail(number: int, now: datetime = NOW) -> None:
    address = f"2001:db8::{number:x}"
    outcome = SignInOutcome.LOCKED if number % 3 == 2 else SignInOutcome.FAILED
    if number % 2:
        record_sign_in(outcome=outcome, username="unknown", address=address, now=now)
    else:
        record_scaikey_failure(outcome=outcome, code="SW_SIGN_IN_ROLE", address=address, now=now)


def test_success_failures_do_not_fill_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From whatever addresses; sign-ins, and failures of a later hour, are still recorded."""
    monkeypatch.setattr(module, "MAX_FAILURES_PER_HOUR", LIMIT)
    for number in range(2 * LIMIT):
        fail(number)
    assert AuditEntry.objects.count() == LIMIT
    assert "for one more, from 2001:db8::5." in caplog.messages[-1]
    record_sign_in(outcome=SignInOutcome.SUCCEEDED, username="anna", address="", now=NOW)
    fail(0, NOW + timedelta(hours=1, seconds=1))
    assert AuditEntry.objects.count() == LIMIT + 2
