"""The list of tenants in the admin site: its columns, how it sorts, and its filters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from identity_sync.models import SyncRun, SyncSkip
from identity_sync.reasons import POSTPONED, Reason
from scaiwave.operations.overview.stored import load_overview
from tenants.models import StoredOverview, Tenant, TokenUsage
from tenants.people.queries.figures import find_figure
from tests.scaiwave import row_factories
from tests.scaiwave.site.pages import read_column

pytestmark = pytest.mark.django_db
TENANTS = "admin:tenants_tenant_changelist"
MAX_QUERIES = 8
COLUMNS = admin.site.get_model_admin(Tenant).list_display


@pytest.fixture
def tenants() -> list[Tenant]:
    """Three tenants, of which each later one has more of everything, and a local one."""
    small, middle, large = (
        row_factories.make_tenant(
            slug,
            scaikey_tenant_id=slug,
            partner=row_factories.make_partner(f"partner-{slug}"),
            max_participants=10,
            **status,
        )
        for slug, status in (
            ("a-small", {}),
            ("b-middle", {"suspended_by_hand_at": row_factories.NOW}),
            ("c-large", {"absent_since": row_factories.NOW}),
        )
    )
    for number, tenant in enumerate((small, middle, large), start=1):
        fill_tenant(tenant, number)
    return [small, middle, large, row_factories.make_tenant("d-local")]


def fill_tenant(tenant: Tenant, number: int) -> None:
    people = [row_factories.make_participant(tenant, f"p{each}") for each in range(number * 4)]
    row_factories.make_participant(tenant, "bot", participant_type="agent")
    workspace = row_factories.make_workspace(tenant)
    for each in range(number):
        row_factories.make_room(workspace, people[0], f"Room {each}")
    room = row_factories.make_room(workspace, people[0], state="closed")
    row_factories.make_media(tenant, "x", size=number * 1000)
    now = timezone.now()
    row_factories.make_event(room, 1, created_at=now - timedelta(days=9 - number))
    TokenUsage.objects.create(
        tenant=tenant, month=now.date().replace(day=1), total_tokens=number * 10, fetched_at=now
    )
    make_run(now - timedelta(hours=9 - number), tenant=tenant)


def make_run(ended_at: datetime, **fields: Any) -> SyncRun:
    values = {"outcome": "applied", "started_at": ended_at, **fields}
    return SyncRun.objects.create(operator="root", ended_at=ended_at, **values)


def list_slugs(client: Client, **given: str) -> list[str]:
    answer = client.get(reverse(TENANTS), given)
    assert answer.status_code == 200
    return [tenant.slug for tenant in answer.context["cl"].result_list]


@pytest.mark.parametrize("column", COLUMNS)
def test_success_list_sorts_by_every_column_with_missing_values_last(
    column: str, tenants: list[Tenant], client: Client
) -> None:
    number = list(COLUMNS).index(column)
    slugs = [tenant.slug for tenant in tenants]
    up = [slug for slug in list_slugs(client, o=str(number)) if slug != "d-local"]
    down = [slug for slug in list_slugs(client, o=f"-{number}") if slug != "d-local"]
    assert up == slugs[:3]
    assert down == slugs[2::-1]
    if column in {"ai_tokens", "last_sync", "last_activity", "partner"}:
        assert list_slugs(client, o=str(number))[-1] == "d-local"
        assert column == "partner" or list_slugs(client, o=f"-{number}")[-1] == "d-local"


def test_success_list_has_few_queries_however_it_is_sorted_and_filtered(
    tenants: list[Tenant], client: Client
) -> None:
    make_run(timezone.now())
    for given in (
        {},
        {"o": "-4.-8"},
        {"limits": "near", "sync": "removals", "origin": "local", "status": "active"},
        {"partner__id__exact": str(tenants[0].partner_id)},
    ):
        with CaptureQueriesContext(connection) as caught:
            list_slugs(client, **given)
        # Use is added up once for each limit.
        assert len(caught) <= MAX_QUERIES + 4 * ("limits" in given), given


def test_success_columns_show_use_beside_limits(tenants: list[Tenant], client: Client) -> None:
    assert read_column(client, TENANTS, "people") == [
        "4 / 10 5 with AI and bridges",
        "8 / 10 9 with AI and bridges",
        "12 / 10 13 with AI and bridges",
        "0",
    ]
    assert read_column(client, TENANTS, "rooms") == ["1", "2", "3", "0"]
    assert read_column(client, TENANTS, "status_text")[1:3] == [
        "suspended manually since 2026-03-04 05:06:07 UTC",
        "deactivated removed from ScaiKey on 2026-03-04 05:06:07 UTC",
    ]


@pytest.mark.parametrize(
    ("limit", "near", "full"), [(16, True, False), (15, True, False), (13, True, True)]
)
def test_success_limits_are_near_from_80_percent(
    limit: int, near: bool, full: bool, tenants: list[Tenant], client: Client
) -> None:
    Tenant.objects.filter(slug="c-large").update(max_participants=limit, absent_since=None)
    assert ("c-large" in list_slugs(client, limits="near")) is near
    assert ("c-large" in list_slugs(client, limits="full")) is full


@pytest.mark.parametrize(
    "limits",
    [
        {"max_participants": None, "max_rooms": 0},
        {"max_participants": None, "max_storage_mb": 0},
        {"max_participants": None, "max_ai_tokens_month": 30},
    ],
)
def test_success_every_limit_counts(
    limits: dict[str, Any], tenants: list[Tenant], client: Client
) -> None:
    Tenant.objects.exclude(slug="c-large").update(max_participants=None)
    Tenant.objects.filter(slug="c-large").update(**limits)
    assert list_slugs(client, limits="full") == ["c-large"]


def test_success_card_of_limits_leads_to_the_tenants_that_it_counts(
    tenants: list[Tenant], client: Client
) -> None:
    """The greatest limits are no problem for either database."""
    Tenant.objects.filter(slug="a-small").update(
        max_rooms=2**31 - 1, max_storage_mb=2**31 - 1, max_ai_tokens_month=2**63 - 1
    )
    Tenant.objects.filter(slug="d-local").update(max_participants=1)
    row_factories.make_participant(tenants[3], "anna")
    StoredOverview.objects.all().delete()
    (task,) = [task for task in load_overview(timezone.now())["tasks"] if "limit" in task["text"]]
    listed = client.get(task["url"]).context["cl"].result_list
    assert (task["button"], len(listed)) == ("Show 1 tenant", 1)
    assert [tenant.slug for tenant in listed] == ["d-local"]


def make_skip(tenant: Tenant, reason: str) -> None:
    SyncSkip.objects.create(
        tenant=tenant,
        kind="participants",
        subject_scaikey_id=f"usr-{tenant.slug}",
        reason_code=reason,
        is_postponed=reason in POSTPONED,
        first_skipped_at=timezone.now(),
        last_skipped_at=timezone.now(),
    )


@pytest.mark.parametrize(
    ("reason", "choice"),
    [
        (Reason.OVER_LIMIT, "removals"),
        (Reason.OFF_FOR_TENANT, "removals"),
        (Reason.NOTHING_PROVEN, "removals"),
        (Reason.UNUSABLE, "rows"),
    ],
)
def test_success_filters_by_skipped_removals_or_rows(
    reason: str, choice: str, tenants: list[Tenant], client: Client
) -> None:
    make_skip(tenants[1], reason)
    for each in ("removals", "rows"):
        assert list_slugs(client, sync=each) == (["b-middle"] if each == choice else [])


def test_success_filters_by_partner_and_origin(tenants: list[Tenant], client: Client) -> None:
    partner = str(tenants[0].partner_id)
    assert list_slugs(client, partner__id__exact=partner) == ["a-small"]
    assert list_slugs(client, origin="local") == ["d-local"]
    assert len(list_slugs(client, origin="scaikey")) == 3
    page = client.get(reverse(TENANTS), {"partner__id__exact": partner}).content.decode()
    assert "Partner: <strong>partner-a-small</strong>" in page


def test_success_a_full_sync_counts_for_linked_tenants_that_existed(
    tenants: list[Tenant], client: Client
) -> None:
    now = timezone.now()
    make_run(now)
    make_run(now + timedelta(hours=1), outcome="failed")
    row_factories.make_tenant("e-new", scaikey_tenant_id="new", created_at=now + timedelta(days=1))
    last = read_column(client, TENANTS, "last_sync")
    assert last == [f"{now:%Y-%m-%d %H:%M:%S} UTC"] * 3 + ["-", "-"]


def test_success_people_are_counted_the_same_everywhere(
    tenants: list[Tenant], client: Client
) -> None:
    large = tenants[2]
    page = client.get(reverse("admin:tenants_tenant_change", args=[large.pk])).content.decode()
    StoredOverview.objects.all().delete()
    card = {card["title"]: card for card in load_overview(timezone.now())["volumes"]}["People"]
    listed = client.get(f"{card['url']}&tenant__id__exact={large.pk}")
    assert listed.context["cl"].result_count == 12
    assert "12 / 10" in page
    assert card["value"] == str(client.get(card["url"]).context["cl"].result_count) == "24"


def test_success_figures_are_searched_where_all_rows_are_of_one_tenant(client: Client) -> None:
    """Statistics say then that each tenant has all of them, so that a scan looks as cheap."""
    large = row_factories.make_tenant("large")
    anna = row_factories.make_participant(large)
    workspace = row_factories.make_workspace(large)
    for number in range(50):
        row_factories.make_room(workspace, anna, f"Room {number}")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    if connection.vendor == "sqlite":
        rooms = find_figure("rooms", timezone.now())
        plan = Tenant.objects.order_by(rooms.desc()).values("pk").explain()
        assert "SEARCH U0" in plan, plan
    assert list_slugs(client, o="-5") == ["large"]
