from __future__ import annotations

import pytest

from scaiwave.config import load
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.tenants import check_limits, check_sign_in
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def test_success_tenants_within_their_limits() -> None:
    row_factories.make_tenant("unlimited")
    row_factories.make_participant(row_factories.make_tenant("full", max_participants=1))
    (finding,) = check_limits(load({}), NOW)
    assert (finding.state, finding.message) == (
        State.PASS,
        "All tenants are within their limits. Tenants at 80% of a limit or above: 1, at 100% or "
        "above: 1.",
    )


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
    assert findings[-1].message == ("Tenants at 80% of a limit or above: 11, at 100% or above: 11.")


@pytest.mark.parametrize(
    ("values", "state", "ways"),
    [
        ({}, State.PASS, "password"),
        ({"SCAIWAVE_SCAIKEY_REDIRECT_URI": "http://localhost:8000/oidc/callback/"}, State.PASS, ""),
        ({"SCAIWAVE_ADMIN_PASSWORD_SIGN_IN": "false"}, State.WARN, "No one can sign in"),
    ],
)
def test_success_sign_in_is_possible(values: dict[str, str], state: State, ways: str) -> None:
    (finding,) = check_sign_in(load(values), NOW)
    assert finding.state is state
    assert ways in finding.message


def test_success_sign_in_with_scaikey_alone() -> None:
    values = {
        "SCAIWAVE_SCAIKEY_URL": "https://scaikey.example",
        "SCAIWAVE_SCAIKEY_CLIENT_ID": "us",
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "a secret",
        "SCAIWAVE_SCAIKEY_REDIRECT_URI": "https://chat.example/oidc/callback/",
        "SCAIWAVE_PUBLIC_URL": "https://chat.example",
        "SCAIWAVE_ADMIN_PASSWORD_SIGN_IN": "false",
    }
    (finding,) = check_sign_in(load(values), NOW)
    assert finding.message == "People sign in to the admin site with ScaiKey."
    moved = {**values, "SCAIWAVE_PUBLIC_URL": "https://new.example"}
    (finding,) = check_sign_in(load(moved), NOW)
    assert finding.state is State.WARN
