from __future__ import annotations

from datetime import datetime

import pytest

from tenants.audit.seal_audit import seal_audit
from tenants.models import AuditEntry
from tests.tenants.audit.seals import DAY, TODAY, make_sealed_log, prune_audit
from tests.tenants.factories import HOST_OPERATOR


@pytest.fixture
def sealed() -> list[AuditEntry]:
    """The entries of a log with four sealed days, oldest first."""
    return make_sealed_log()


@pytest.fixture
def resealed(sealed: list[AuditEntry]) -> datetime:
    """A sealed log, 35 days after its last day with entries, at the time that is returned."""
    now = TODAY + 34 * DAY
    seal_audit(operator=HOST_OPERATOR, now=now)
    return now


@pytest.fixture
def pruned(resealed: datetime) -> datetime:
    """Of that log, entries older than 35 days are deleted."""
    prune_audit(resealed, 35)
    return resealed
