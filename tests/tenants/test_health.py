from __future__ import annotations

import pytest

from scaiwave.config import load
from scaiwave.doctor.findings import State
from tenants.queries.health import check_limits
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW

pytestmark = pytest.mark.django_db


def test_success_tenants_within_their_limits() -> None:
    row_factories.make_tenant("unlimited")
    row_factories.make_participant(row_factories.make_tenant("full", max_participants=1))
    (finding,) = check_limits(load({}), NOW)
    assert (finding.state, finding.message) == (State.PASS, "All tenants are within their limits.")


def test_success_tenants_over_their_limits() -> None:
    acme = row_factories.make_tenant("acme", max_participants=1, max_rooms=0)
    anna = row_factories.make_participant(acme)
    row_factories.make_participant(acme, "bert")
    row_factories.make_participant(acme, "gone", absent_since=NOW)
    row_factories.make_room(row_factories.make_workspace(acme), anna)
    for number in range(10):
        row_factories.make_participant(
            row_factories.make_tenant(f"small{number}", max_participants=0), f"p{number}"
        )
    findings = list(check_limits(load({}), NOW))
    assert {finding.state for finding in findings} == {State.WARN}
    assert findings[0].message == "Tenant acme uses more than its limit: participants, rooms."
    assert findings[0].fix.startswith("Check `scaiwave admin show-tenant acme`")
    assert len(findings) == 11
    assert findings[-1].message == "Further tenants that use more than a limit: 1."
