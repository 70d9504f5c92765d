from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from scaiwave.admin.related import RelatedLink
from tenants.models import AdminUser, Group, GroupMembership, Participant, Tenant, TokenUsage
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db
PARTICIPANTS = "admin:tenants_participant_changelist"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


def find_local_ids(client: Client, **given: str) -> set[str]:
    answer = client.get(reverse(PARTICIPANTS), given)
    return {participant.local_id for participant in answer.context["cl"].result_list}


def links(client: Client, row: Tenant | Participant | Group) -> dict[str, RelatedLink]:
    url = reverse(f"admin:tenants_{row._meta.model_name}_change", args=[row.pk])
    return {link.label: link for link in client.get(url).context["related_links"]}


@pytest.fixture
def acme() -> Tenant:
    of = row_factories.make_tenant(scaikey_tenant_id="T1")
    row_factories.make_participant(of, "anna", scaikey_id="U1")
    row_factories.make_participant(of, "ben", absent_since=row_factories.NOW)
    row_factories.make_participant(of, "cleo", suspended_by_hand_at=row_factories.NOW)
    row_factories.make_participant(of, "dana", scaikey_status="SUSPENDED")
    row_factories.make_participant(
        of, "eli", absent_since=row_factories.NOW, suspended_by_hand_at=row_factories.NOW
    )
    return of


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("active", {"anna.acme"}),
        ("deactivated", {"ben.acme"}),
        ("suspended", {"cleo.acme", "dana.acme", "eli.acme"}),
    ],
)
def test_success_status_filter_agrees_with_the_column(
    status: str, expected: set[str], acme: Tenant, client: Client
) -> None:
    assert find_local_ids(client, status=status) == expected
    people = Participant.objects.all()
    assert {each.local_id for each in people if each.status == status} == expected


@pytest.mark.parametrize(
    "search",
    [
        "Anna",
        "ANNA@example.com",
        "anna@",
        "@anna.acme:localhost",
        "anna.acme",
        "U1",
    ],
)
def test_success_participant_is_found_by(search: str, acme: Tenant, client: Client) -> None:
    assert find_local_ids(client, q=search) == {"anna.acme"}


def test_success_list_shows_the_reason(acme: Tenant, client: Client) -> None:
    page = client.get(reverse(PARTICIPANTS)).content.decode()
    for reason in (
        "deactivated (removed from ScaiKey on 2026-03-04)",
        "suspended (suspended manually)",
        "suspended (suspended in ScaiKey)",
    ):
        assert reason in page


def test_success_tenant_links_to_rows_of_other_apps(client: Client) -> None:
    of = row_factories.make_row_of_every_model(1)
    row_factories.make_row_of_every_model(2)
    led_to = links(client, of)
    assert {"participants", "rooms", "events", "sync runs", "audit entries"} <= set(led_to)
    assert {link.count for label, link in led_to.items() if label != "sync changes"} == {1}


def test_success_participant_links_to_groups_and_changes(client: Client) -> None:
    anna = Participant.objects.get(tenant=row_factories.make_row_of_every_model(1))
    counts = {label: link.count for label, link in links(client, anna).items()}
    assert counts == {
        "group memberships (member participant)": 1,
        "role grants": 1,
        "workspace members": 1,
        "rooms (creator)": 1,
        "room members": 1,
        "audit entries": 0,
        "sync changes": 1,
    }


def test_success_group_distinguishes_members_from_its_own_memberships(
    acme: Tenant, client: Client
) -> None:
    outer, inner = (
        Group.objects.create(tenant=acme, name=name, **row_factories.TIMESTAMPS)
        for name in ("outer", "inner")
    )
    GroupMembership.objects.create(
        tenant=acme, group=outer, member_group=inner, **row_factories.TIMESTAMPS
    )
    counts = {label: link.count for label, link in links(client, outer).items()}
    assert counts["group memberships"] == 1
    assert counts["group memberships (member group)"] == 0


def test_success_tenants_show_columns_of_other_apps(client: Client) -> None:
    of = row_factories.make_row_of_every_model(1)
    row_factories.make_media(of, "more", size=3 * 1024 * 1024)
    page = client.get(reverse("admin:tenants_tenant_changelist")).content.decode()
    assert '<td class="field-rooms">1</td>' in page
    assert '<td class="field-storage">3.0 MiB</td>' in page


def spend(slug: str, tokens: int, month: date, **changes: Any) -> Tenant:
    of = row_factories.make_tenant(slug, **changes)
    TokenUsage.objects.create(
        tenant=of, month=month, total_tokens=tokens, fetched_at=row_factories.NOW
    )
    return of


def test_success_tenants_show_token_usage_and_mark_those_near_the_cap(client: Client) -> None:
    month = datetime.now(UTC).date().replace(day=1)
    acme = spend("acme", 91_000, month, max_ai_tokens_month=100_000)
    spend("lab", 5_000, month, max_ai_tokens_month=100_000)
    spend("old", 7_000, date(2020, 1, 1))
    page = client.get(reverse("admin:tenants_tenant_changelist")).content.decode()
    marked = '<strong class="close-to-cap">91,000 (91 %)</strong>'
    for cell in (marked, "5,000", "-"):
        assert f'<td class="field-ai_tokens">{cell}</td>' in page
    url = reverse("admin:tenants_tenant_change", args=[acme.pk])
    assert marked in client.get(url).content.decode()


def test_success_token_usage_is_shown_beside_the_cap(client: Client) -> None:
    spend("acme", 91_000, date(2026, 11, 1), max_ai_tokens_month=100_000)
    spend("lab", 5_000, date(2026, 11, 1))
    page = client.get(reverse("admin:tenants_tokenusage_changelist")).content.decode()
    for cell in ('<strong class="close-to-cap">91 %</strong>', "-"):
        assert f'<td class="field-share">{cell}</td>' in page
    assert '<td class="field-tokens">91,000</td>' in page
    assert page.count(">2026-11</a>") == 2
