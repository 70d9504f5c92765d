from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from scaiwave.site.related import RelatedLink
from tenants.audit.record import record_audit
from tenants.models import (
    AuditEntry,
    Group,
    GroupMembership,
    Participant,
    RoleGrant,
    Tenant,
    TokenUsage,
)
from tenants.people.queries.tenants import list_tenants
from tests.scaiwave import row_factories
from tests.scaiwave.site.pages import read_column, strip_markup
from tests.tenants.factories import HOST_OPERATOR

pytestmark = pytest.mark.django_db
PARTICIPANTS = "admin:tenants_participant_changelist"
TENANTS = "admin:tenants_tenant_changelist"
USAGE = "admin:tenants_tokenusage_changelist"


@pytest.fixture
def filled() -> Tenant:
    """A tenant with a row of every model."""
    return row_factories.make_row_of_every_model(1)


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
    assert {
        "deactivated removed from ScaiKey on 2026-03-04 05:06:07 UTC",
        "suspended manually since 2026-03-04 05:06:07 UTC",
        "suspended in ScaiKey",
        "suspended manually since 2026-03-04 05:06:07 UTC and "
        "removed from ScaiKey on 2026-03-04 05:06:07 UTC",
    } <= set(read_column(client, PARTICIPANTS, "status_text"))
    ben = Participant.objects.get(local_id="ben.acme")
    Participant.objects.filter(pk=ben.pk).update(scaikey_status="ACTIVE")
    page = client.get(reverse("admin:tenants_participant_change", args=[ben.pk]))
    assert 'ACTIVE<p class="help">from the last sync that found it in ScaiKey</p>' in (
        page.content.decode()
    )


def test_success_tenant_links_to_rows_of_other_apps(client: Client, filled: Tenant) -> None:
    row_factories.make_row_of_every_model(2)
    led_to = links(client, filled)
    assert {"people", "rooms", "events", "sync runs", "audit entries"} <= set(led_to)
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
        "holds": 1,
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


def test_success_tenants_show_columns_of_other_apps(client: Client, filled: Tenant) -> None:
    row_factories.make_media(filled, "more", size=3 * 1024 * 1024)
    assert read_column(client, TENANTS, "rooms") == ["1"]
    assert read_column(client, TENANTS, "storage") == ["3.0 MiB"]


def spend(slug: str, tokens: int, month: date, **changes: Any) -> Tenant:
    of = row_factories.make_tenant(slug, **changes)
    TokenUsage.objects.create(
        tenant=of, month=month, total_tokens=tokens, fetched_at=row_factories.NOW
    )
    return of


@pytest.mark.dated
def test_success_tenants_show_token_usage_and_mark_those_near_the_cap(client: Client) -> None:
    month = datetime.now(UTC).date().replace(day=1)
    acme = spend("acme", 91_000, month, max_ai_tokens_month=100_000)
    spend("lab", 5_000, month, max_ai_tokens_month=100_000)
    spend("old", 7_000, date(2020, 1, 1))
    assert read_column(client, TENANTS, "ai_tokens") == ["91,000 / 100,000", "5,000 / 100,000", "-"]
    page = client.get(reverse("admin:tenants_tenant_change", args=[acme.pk])).content.decode()
    assert (
        '<meter min="0" max="100000" low="80000.0" high="99900.0" optimum="0" value="91000">'
        in page
    )


def test_success_token_usage_is_shown_beside_the_cap(client: Client) -> None:
    spend("acme", 91_000, date(2026, 11, 1), max_ai_tokens_month=100_000)
    spend("lab", 5_000, date(2026, 11, 1))
    assert read_column(client, USAGE, "share") == ["-", "91%"]
    assert read_column(client, USAGE, "tokens") == ["5,000", "91,000"]
    assert read_column(client, USAGE, "usage_month") == ["2026-11"] * 2


def test_success_members_are_those_of_list_tenants(acme: Tenant, client: Client) -> None:
    row_factories.make_participant(acme, "robot", participant_type="agent")
    (row,) = list_tenants(operator=HOST_OPERATOR, now=datetime.now(UTC))
    assert row["members"] == 1
    assert read_column(client, TENANTS, "people") == ["1"]


def test_success_audit_entries_link_to_subject_and_tenant(client: Client) -> None:
    acme = row_factories.make_tenant()
    record_audit(
        operator=HOST_OPERATOR,
        action="update-tenant",
        subject=acme,
        tenant=acme,
        now=row_factories.NOW,
    )
    page = client.get(reverse("admin:tenants_auditentry_changelist")).content.decode()
    url = reverse("admin:tenants_tenant_change", args=[acme.pk])
    assert page.count(f'<a href="{url}">acme</a>') == 2
    assert read_column(client, "admin:tenants_auditentry_changelist", "subject") == ["acme tenant"]
    assert read_column(client, "admin:tenants_auditentry_changelist", "change_text") == [
        "update tenant acme"
    ]


def test_success_tabs_of_a_tenant_are_lists_below_its_heading(client: Client) -> None:
    acme = row_factories.make_row_of_every_model(1)
    row_factories.make_row_of_every_model(2)
    answer = client.get(reverse("admin:tenants_tenant_change", args=[acme.pk]))
    tabs = answer.context["heading"].tabs
    assert [tab.title for tab in tabs] == [
        "Summary",
        "People",
        "Groups",
        "Roles",
        "Rooms",
        "Holds",
        "Sync",
        "Audit",
        "Retention",
        "Usage",
        "Exports",
    ]
    for tab in tabs[1:]:
        listed = client.get(tab.url)
        assert listed.context["heading"].title == "tenant1"
        assert [each.title for each in listed.context["heading"].tabs if each.is_current] == [
            tab.title
        ]
        rows = listed.context["cl"].result_list
        assert {str(row.tenant_id) for row in rows} <= {str(acme.pk)}


def test_success_a_tab_keeps_its_row(client: Client, filled: Tenant) -> None:
    """Its acts and breadcrumb stay; searches and \"Show all\" keep to the row."""
    page_url = reverse("admin:tenants_tenant_change", args=[filled.pk])
    query = f"?tenant__id__exact={filled.pk}"
    answer = client.get(f"{reverse(PARTICIPANTS)}{query}")
    page = answer.content.decode()
    acts = client.get(page_url).context["acts"]
    assert [act.title for act in answer.context["acts"]] == [act.title for act in acts] != []
    trail = page.partition('<ol class="trail">')[2].partition("</ol>")[0]
    assert strip_markup(trail) == "Overview Tenants tenant1 People"
    assert f'<a href="{page_url}">tenant1</a>' in trail
    assert "Show all" not in page
    found = client.get(f"{reverse(PARTICIPANTS)}{query}&q=nothing&status=active").content.decode()
    assert f'<a href="{query}">Show all</a>' in found
    assert f'<input type="hidden" name="tenant__id__exact" value="{filled.pk}">' in found
    everything = client.get(reverse(PARTICIPANTS), {"q": "nothing"}).content.decode()
    assert '<a href="?">Show all</a>' in everything


def test_success_tab_of_syncs_has_changes_runs_and_skips(client: Client, filled: Tenant) -> None:
    titles = ["Changes", "Runs of this tenant", "Skipped"]
    for number, model in enumerate(("syncchange", "syncrun", "syncskip")):
        url = f"{reverse(f'admin:identity_sync_{model}_changelist')}?tenant__id__exact={filled.pk}"
        page = client.get(url)
        heading = page.context["heading"]
        assert [tab.title for tab in heading.tabs if tab.is_current] == ["Sync"]
        assert reverse("admin:act", args=["sync"]) not in {act.url for act in page.context["acts"]}
        assert [part.title for part in heading.parts] == titles
        assert [part.url for part in heading.parts if part.is_current] == [url]
        assert heading.parts[number].is_current


def test_success_a_list_filtered_by_nothing_has_no_heading(client: Client, filled: Tenant) -> None:
    assert client.get(reverse(PARTICIPANTS)).context["heading"] is None
    url = f"{reverse(PARTICIPANTS)}?tenant__id__exact=0197b0e2-4c1f-7a3e-8000-000000000000"
    assert client.get(url).context["heading"] is None


def test_success_page_of_a_person_shows_who_may_sign_in(acme: Tenant, client: Client) -> None:
    pages = {
        person.local_id: client.get(
            reverse("admin:tenants_participant_change", args=[person.pk])
        ).content.decode()
        for person in Participant.objects.all()
    }
    assert "may sign in" in pages["anna.acme"]
    assert "The person is suspended manually since 2026-03-04 05:06:07 UTC." in strip_markup(
        pages["cleo.acme"]
    )
    assert "scaiwave admin resume-participant" in pages["cleo.acme"]


def test_success_page_of_a_person_shows_roles_with_their_path(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    anna = Participant.objects.get(tenant=tenant, participant_type="human")
    group = Group.objects.get(tenant=tenant)
    RoleGrant.objects.all().delete()
    RoleGrant.objects.create(
        tenant=tenant,
        role=tenant.roles.get(),
        group=group,
        granted_by="root",
        created_at=row_factories.NOW,
    )
    page = client.get(reverse("admin:tenants_participant_change", args=[anna.pk])).content.decode()
    role = reverse("admin:tenants_role_change", args=[tenant.roles.get().pk])
    title = f'<th scope="row"><a href="{role}">admins</a></th>'
    assert f'{title}<td data-label="Through">{group.name}</td>' in page


def test_success_audit_entry_shows_values_before_and_after(client: Client) -> None:
    acme = row_factories.make_tenant()
    changes = [
        {"field": "max_rooms", "old": None, "new": 5},
        {"field": "name", "old": "Acme", "new": "Acme Ltd."},
    ]
    record_audit(
        operator=HOST_OPERATOR,
        action="update-tenant",
        subject=acme,
        tenant=acme,
        now=row_factories.NOW,
        details={"changes": changes, "dry_run": False},
    )
    entry = AuditEntry.objects.get()
    page = client.get(reverse("admin:tenants_auditentry_change", args=[entry.pk])).content.decode()
    values = '<td data-label="Before">none</td><td data-label="After">5</td>'
    assert f'<th scope="row">max_rooms</th>{values}' in page
    assert '<th scope="row">Dry run</th><td>no</td>' in page
    assert read_column(client, "admin:tenants_auditentry_changelist", "change_text") == [
        "max_rooms: none → 5; name: Acme → Acme Ltd."
    ]
    before, after = {"days": 30, "media_days": None}, {"days": 9, "media_days": None}
    retention = {"before": before, "after": after, "reason": "law"}
    for details, text in (
        (retention, "days: 30 → 9; reason: law"),
        ({"changed": {"mode": ["open", "closed"]}}, "mode: open → closed"),
        (
            {"role": "editors", "outcome": "taken_over"},
            "outcome: converted to a manual grant; role: editors",
        ),
        ({"suspended_by_hand_at": "2026-11-01"}, "suspended since: 2026-11-01"),
    ):
        record_audit(HOST_OPERATOR, "update-tenant", acme, row_factories.NOW, details)
        assert text in read_column(client, "admin:tenants_auditentry_changelist", "change_text")


def test_success_page_of_a_person_shows_groups_with_their_path(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    anna = Participant.objects.get(tenant=tenant, participant_type="human")
    inner = Group.objects.get(tenant=tenant)
    outer = Group.objects.create(tenant=tenant, name="Everyone", **row_factories.TIMESTAMPS)
    GroupMembership.objects.create(
        tenant=tenant, group=outer, member_group=inner, **row_factories.TIMESTAMPS
    )
    with CaptureQueriesContext(connection) as caught:
        url = reverse("admin:tenants_participant_change", args=[anna.pk])
        page = client.get(url).content.decode()
    assert len(caught) <= 12
    for group, path in ((inner, "direct"), (outer, inner.name)):
        link = reverse("admin:tenants_group_change", args=[group.pk])
        assert f'<a href="{link}">{group.name}</a></th><td data-label="Through">{path}</td>' in page
