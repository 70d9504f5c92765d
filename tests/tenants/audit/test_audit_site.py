"""The audit log in the admin site: who did what, to whom, when."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from scaiwave.console.output import get_timezone
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.audit.queries.actions import AUDIT_ACTIONS
from tenants.audit.queries.entries import search_entries
from tenants.models import AuditEntry
from tests.scaiwave import row_factories
from tests.scaiwave.site.scaikey_sessions import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "admin:tenants_auditentry_changelist"


def make_entry(days_ago: float = 0, **fields: Any) -> AuditEntry:
    values = {
        "operator": "maria",
        "operator_role": "super_admin",
        "action": "suspend-tenant",
        "subject_type": "tenant",
        "subject_id": "1",
        "subject_name": "acme",
        **fields,
    }
    return AuditEntry.objects.create(at=NOW - timedelta(days=days_ago), **values)


def list_found(client: Client, **parameters: str) -> list[AuditEntry]:
    answer = client.get(reverse(URL), parameters)
    assert answer.status_code == HTTPStatus.OK
    return list(answer.context["cl"].result_list)


def test_success_a_period_includes_its_last_day(client: Client) -> None:
    old, yesterday, today = (make_entry(days) for days in (5, 1, 0))
    assert list_found(client, **{"from": "2026-11-23", "to": "2026-11-23"}) == [yesterday]
    assert list_found(client, **{"from": "2026-11-23"}) == [today, yesterday]
    assert list_found(client, to="2026-11-20") == [old]


def test_success_days_begin_in_the_zone_of_this_server(client: Client, settings: Any) -> None:
    settings.LOCAL_ZONE = get_timezone("Pacific/Auckland")
    entry = make_entry()
    assert list_found(client, **{"from": "2026-11-25", "to": "2026-11-25"}) == [entry]


def test_success_filters_by_operator_tenant_and_subject_in_any_case(client: Client) -> None:
    acme = row_factories.make_tenant("acme")
    anna = row_factories.make_participant(acme, "anna", display_name="Anna Berg")
    one = make_entry(operator="Maria", tenant_id=str(acme.pk), tenant_slug="acme")
    two = make_entry(subject_type="participant", subject_id=str(anna.pk), operator="olga")
    assert list_found(client, operator="maria") == [one]
    assert list_found(client, tenant="acme") == [one]
    assert list_found(client, tenant="unknown") == []
    for subject in ("anna berg", str(anna.pk)):
        assert list_found(client, subject=subject) == [two]
    assert list_found(client, q=anna.pk.hex.upper()) == [two]
    assert list_found(client, operator="olga", tenant="acme") == []
    assert list_found(client, operator="\0") == []


def test_fail_invalid_days(client: Client) -> None:
    for day in ("yesterday", "2026-02-30", "9999-12-31"):
        answer = client.get(reverse(URL), {"to": day})
        assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, f"{reverse(URL)}?e=1")


def test_success_the_form_keeps_the_other_filters(client: Client) -> None:
    page = client.get(reverse(URL), {"action": "suspend-tenant", "from": "2026-11-23"})
    form = page.content.decode().partition('<form class="typed"')[2].partition("</form>")[0]
    assert '<input type="hidden" name="action" value="suspend-tenant">' in form
    assert 'name="from" value="2026-11-23"' in form


def test_success_exports_have_exactly_what_the_list_shows(client: Client) -> None:
    make_entry(5)
    shown = make_entry(1, details={"role": "moderator", "outcome": "granted"})
    query = "?from=2026-11-23&to=2026-11-23&operator=maria&tenant="
    address = reverse("admin:tenants_auditentry_export", args=["csv"]) + query
    rows = list(csv.DictReader(StringIO(client.post(address).getvalue().decode())))
    assert [row["id"] for row in rows] == [str(shown.pk)]
    assert rows[0]["what"] == "outcome: granted; role: moderator"
    address = reverse("admin:tenants_auditentry_export", args=["json"]) + query
    document = json.loads(client.post(address).getvalue())
    assert [row["id"] for row in document["audit_entries"]] == [str(shown.pk)]
    record = AuditEntry.objects.filter(action="export-list").latest("id")
    assert set(record.details["filters"]) == {"from", "to", "operator"}


def test_success_what_is_filled_for_every_action(client: Client) -> None:
    for action in AUDIT_ACTIONS:
        make_entry(action=action)
    make_entry(action="grant-role", details={"role": "moderator", "outcome": "granted"})
    make_entry(
        details={"reason": "unpaid", "changes": [{"field": "max_rooms", "old": 5, "new": None}]}
    )
    page = client.get(reverse("admin:tenants_auditentry_export", args=["csv"]))
    assert page.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    address = reverse("admin:tenants_auditentry_export", args=["csv"])
    rows = list(csv.DictReader(StringIO(client.post(address).getvalue().decode())))
    assert all(row["what"] for row in rows)
    assert "max_rooms: 5 → none; reason: unpaid" in {row["what"] for row in rows}


def test_success_searches_words_by_their_beginning(client: Client) -> None:
    mail = make_entry(operator="Olga.Nováková@example.com", subject_name="delta-dental")
    other = make_entry(action="grant-role", subject_name="o'neill <b>")
    cases = {"nová": [mail], "olga exam": [mail], "delta-den": [mail], "GRANT": [other]}
    cases |= {"o'neill": [other], "maria delta": [], "...": [], "\\ | & !": []}
    for term, expected in cases.items():
        assert list_found(client, q=term) == expected, term


@pytest.mark.only_on("postgresql")
def test_success_searches_use_their_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "sw_audit_text" in search_entries(AuditEntry.objects.order_by(), "acme").explain()


def test_success_partners_and_tenants_find_only_their_own(settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    own = row_factories.make_tenant("own", scaikey_tenant_id="tnt_own")
    other = row_factories.make_tenant("other", scaikey_tenant_id="tnt_other")
    entries = [make_entry(tenant_id=str(each.pk), tenant_slug=each.slug) for each in (own, other)]
    client = sign_in("tenant_admin", tenant="tnt_own")
    assert list_found(client, operator="maria") == entries[:1]
    assert list_found(client, q="suspend") == entries[:1]
    assert list_found(client, tenant="other") == []
