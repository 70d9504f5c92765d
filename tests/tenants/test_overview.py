"""The overview of the admin site: its cards, charts and lists, stored for a minute."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from identity_sync.models import SyncRun, SyncSkip
from scaiwave.admin import overview
from scaiwave.admin.charts import HEIGHT, draw_chart
from scaiwave.admin.overview import OverviewPart
from scaiwave.config import load
from tenants.models import AdminUser, DailyFigures, DoctorRun, StoredOverview, Tenant
from tenants.services.overview import MAX_AGE, load_overview
from tenants.services.record_figures import record_figures
from tests.concurrency import run_concurrently
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, run_command

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    return client


def get_cards(now: datetime = NOW) -> dict[str, dict[str, Any]]:
    StoredOverview.objects.all().delete()
    return {card["title"]: card for card in load_overview(now)["cards"]}


def get_chart(title: str) -> dict[str, Any]:
    StoredOverview.objects.all().delete()
    return next(
        draw_chart(chart)
        for chart in load_overview(NOW)["charts"]
        if chart["title"].startswith(title)
    )


def make_run(minutes_ago: float, outcome: str = "applied", **fields: Any) -> SyncRun:
    started_at = NOW - timedelta(minutes=minutes_ago)
    values = {"ended_at": started_at + timedelta(seconds=2), "duration_seconds": 2.0, **fields}
    return SyncRun.objects.create(operator="root", outcome=outcome, started_at=started_at, **values)


def test_success_an_empty_server_names_what_to_do(client: Client) -> None:
    cards = get_cards()
    assert cards["Last successful full sync"]["value"] == "never"
    assert cards["Registration with ScaiKey"]["command"].startswith("scaiwave sync register")
    assert cards["Signing key"]["command"] == "scaiwave admin federation key generate"
    page = client.get(reverse("admin:index")).content.decode()
    assert "scaiwave admin federation key generate" in page


def test_success_cards_count_as_lists_do() -> None:
    acme = row_factories.make_tenant("acme", max_rooms=1)
    row_factories.make_tenant("gone", absent_since=NOW)
    anna = row_factories.make_participant(acme, "anna")
    row_factories.make_participant(acme, "ben", suspended_by_hand_at=NOW)
    row_factories.make_room(row_factories.make_workspace(acme), anna)
    make_run(5)
    cards = get_cards()
    assert cards["Active tenants"]["value"] == "1"
    assert cards["Active tenants"]["details"] == ["0 suspended, 1 deactivated"]
    assert cards["People"]["value"] == cards["Rooms"]["value"] == "1"
    assert (cards["Tenants near a limit"]["value"], cards["Tenants near a limit"]["tone"]) == (
        "1",
        "bad",
    )
    assert cards["Last successful full sync"]["value"] == "4 minutes ago"
    assert cards["Last successful full sync"]["tone"] == "good"
    assert cards["Last successful full sync"]["details"] == [
        "The next is expected at 12:05 UTC, one every 10 minutes."
    ]


def test_success_what_the_last_sync_skipped_has_the_exact_command() -> None:
    make_run(5, "partial", error_fix="If they are correct, run `scaiwave sync --allow-removals 7`.")
    SyncSkip.objects.create(
        kind="participants",
        subject_scaikey_id="usr-1",
        reason="over the removal limit",
        first_skipped_at=NOW,
        last_skipped_at=NOW,
    )
    card = get_cards()["Skipped by the last sync"]
    assert (card["value"], card["details"]) == ("1", ["participants: 1"])
    assert card["command"] == "scaiwave sync --allow-removals 7"


def test_success_syncs_of_the_day_have_columns_with_links() -> None:
    run = make_run(30, "failed", error_code="SW_SCAIKEY_UNREACHABLE", duration_seconds=4.0)
    make_run(20)
    make_run(26 * 60)
    chart = get_chart("Full syncs")
    filled = [column for column in chart["columns"] if column.rectangles]
    assert len(chart["columns"]) == 144
    assert [column.rectangles[0].style for column in filled] == ["bad", "good"]
    assert [column.rectangles[0].height for column in filled] == [HEIGHT, HEIGHT / 2]
    assert filled[0].url == reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    assert len(chart["rows"]) == 2


def test_success_changes_are_stacked_by_kind() -> None:
    make_run(5, counts={"tenants": {"added": 1}, "participants": {"added": 2, "updated": 1}})
    make_run(4, "failed", counts={"participants": {"added": 99}})
    column = get_chart("Changes from ScaiKey")["columns"][-1]
    assert (column.label, column.text) == ("2026-11-24", "tenants 1, participants 3")
    heights = {each.style: each.height for each in column.rectangles}
    assert heights == {"series-1": HEIGHT / 4, "series-2": HEIGHT * 3 / 4}
    assert min(each.y for each in column.rectangles) == 0


def test_success_all_processes_share_one_row_for_a_minute() -> None:
    row_factories.make_tenant("acme")
    first = json.loads(json.dumps(load_overview(NOW)))
    row_factories.make_tenant("lab")
    with CaptureQueriesContext(connection) as caught:
        assert load_overview(NOW + MAX_AGE - timedelta(seconds=1)) == first
    assert len(caught) == 1
    assert load_overview(NOW + MAX_AGE) != first
    assert StoredOverview.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_success_requests_at_once_build_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[datetime] = []

    def count(now: datetime) -> OverviewPart:
        builds.append(now)
        return OverviewPart()

    monkeypatch.setitem(overview._builders, "counted", (9, count))
    # Each request has its own time, and the last one may be the first to build.
    times = [NOW + timedelta(milliseconds=number) for number in range(8)]
    documents = run_concurrently(*[partial(load_overview, time) for time in times])
    assert len(builds) == 1
    assert all(set(document) == set(documents[0]) for document in documents)


@pytest.mark.django_db(transaction=True)
def test_success_others_can_write_while_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take seconds, also because Redis does not answer."""

    def write(now: datetime) -> OverviewPart:
        run_concurrently(partial(row_factories.make_tenant, "written"))
        return OverviewPart()

    monkeypatch.setitem(overview._builders, "writing", (9, write))
    assert load_overview(NOW)["cards"]
    assert Tenant.objects.filter(slug="written").exists()


def test_success_an_overview_from_a_moment_later_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another request, which began after this one, has just built it."""
    load_overview(NOW + timedelta(milliseconds=1))
    monkeypatch.setattr(overview, "_builders", {})
    assert load_overview(NOW)["cards"]


def test_success_a_stored_overview_of_the_future_is_replaced() -> None:
    load_overview(NOW + timedelta(days=1))
    row_factories.make_tenant("acme")
    assert {card["title"]: card for card in load_overview(NOW)["cards"]}["Active tenants"][
        "value"
    ] == "1"


def test_success_queries_do_not_grow_with_tenants(client: Client) -> None:
    counts = []
    for numbers in (range(3), range(3, 30)):
        for number in numbers:
            row_factories.make_tenant(f"t{number}", max_rooms=1, max_participants=5)
        StoredOverview.objects.all().delete()
        with CaptureQueriesContext(connection) as caught:
            client.get(reverse("admin:index"))
        counts.append(len(caught))
    with CaptureQueriesContext(connection) as caught:
        client.get(reverse("admin:index"))
    assert counts[0] == counts[1] <= 40
    assert len(caught) <= 4


def test_success_an_account_sees_only_what_it_may() -> None:
    user = AdminUser.objects.create_user("view", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    client = Client()
    client.force_login(user)
    overview = client.get(reverse("admin:index")).context["overview"]
    assert {card["title"] for card in overview["cards"]} == {
        "Active tenants",
        "Tenants near a limit",
    }
    assert {each["title"] for each in overview["lists"]} == {"Nearest to a limit"}
    assert overview["charts"] == []


def test_success_hostile_names_are_escaped(client: Client) -> None:
    Tenant.objects.filter(pk=row_factories.make_tenant("acme", max_rooms=0).pk).update(slug="<b>")
    make_run(5, "failed", error_message="<script>alert(1)</script>")
    page = client.get(reverse("admin:index")).content.decode()
    assert "<script>alert" not in page


def test_success_figures_of_a_day_feed_the_charts() -> None:
    acme = row_factories.make_tenant("acme")
    anna = row_factories.make_participant(acme, "anna")
    row_factories.make_room(row_factories.make_workspace(acme), anna)
    row_factories.make_media(acme, "file", size=2048)
    for days_ago, now in ((1, NOW - timedelta(days=1)), (0, NOW), (0, NOW + timedelta(hours=1))):
        result = record_figures(operator=HOST_OPERATOR, now=now)
        assert result.figures["day"] == str((NOW - timedelta(days=days_ago)).date())
    assert DailyFigures.objects.count() == 2
    last = get_chart("Storage")["columns"][-1]
    assert (last.label, last.text) == ("2026-11-24", "2.0 KiB")
    assert len(get_chart("People")["columns"]) == 90
    assert [row["text"] for row in get_chart("Rooms")["rows"]] == ["1", "1"]


def test_success_a_dry_run_records_nothing() -> None:
    run_command("record_figures", "--dry-run")
    assert not DailyFigures.objects.exists()
    assert "Recorded for" in run_command("record_figures")


def test_success_doctor_card_shows_the_last_run() -> None:
    assert get_cards()["Doctor"]["value"] == "never"
    finding = {"check": "keys", "state": "warn", "message": "No signing key.", "fix": ""}
    DoctorRun.objects.create(
        ran_at=NOW - timedelta(hours=2), operator="root", is_healthy=True, findings=[finding]
    )
    card = get_cards()["Doctor"]
    assert (card["value"], card["tone"]) == ("1 finding", "warn")
    assert card["details"] == ["No signing key.", "as of 2 hours ago"]


def test_success_a_redis_that_does_not_answer_is_one_card(settings: Settings) -> None:
    assert "Workers" not in get_cards()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CONFIG = load({"SCAIWAVE_REDIS_URL": settings.REDIS_URL})
    card = get_cards()["Workers"]
    assert (card["value"], card["tone"], card["command"]) == ("unknown", "bad", "scaiwave doctor")


def test_success_a_limit_of_zero_is_reached_by_the_first(client: Client) -> None:
    acme = row_factories.make_tenant("acme", max_participants=0, max_rooms=0)
    row_factories.make_participant(acme, "anna")
    card = get_cards()["Tenants near a limit"]
    assert (card["value"], card["tone"]) == ("1", "bad")
    nearest = next(
        each for each in load_overview(NOW)["lists"] if each["title"] == "Nearest to a limit"
    )
    assert [(entry["badge"], entry["details"]) for entry in nearest["entries"]] == [
        ("100%", "of its participants (people, AI and bridges)")
    ]
    page = client.get(reverse("admin:tenants_tenant_change", args=[acme.pk])).content.decode()
    assert "1 / 0" in page
