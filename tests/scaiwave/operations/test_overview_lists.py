"""The charts and lists of the overview, and the pages that its cards lead to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from rooms.models import Room
from scaiwave.operations.record_figures import record_figures
from scaiwave.site.charts import HEIGHT
from tenants.audit.record import record_audit
from tenants.models import (
    DailyFigures,
    TokenUsage,
)
from tests.scaiwave import row_factories
from tests.scaiwave.operations.overview_parts import (
    NOW,
    get_cards,
    get_chart,
    get_list,
    get_tasks,
    list_shown,
    make_run,
    make_webhook,
)
from tests.tenants.factories import HOST_OPERATOR, run_command

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def test_success_syncs_of_the_day_have_columns_with_links() -> None:
    run = make_run(30, "failed", error_code="SW_SCAIKEY_UNREACHABLE", duration_seconds=4.0)
    make_run(20)
    make_run(26 * 60)
    make_run(50, "failed", error_code="SW_INTERRUPTED")
    make_run(40, "refused", is_dry_run=True)
    make_run(60, "planned", is_dry_run=True)
    chart = get_chart("Full syncs")
    filled = [column for column in chart["columns"] if column.rectangles]
    assert len(chart["columns"]) == 144
    assert [column.rectangles[0].style for column in filled] == ["info", "bad", "good"]
    assert [(each["name"], each["style"]) for each in chart["legend"]] == [
        ("applied", "bar good"),
        ("partial", "bar warn"),
        ("refused or failed", "bar bad"),
        ("running or a dry run", "bar info"),
    ]
    heights = [HEIGHT * part for part in (0.4, 0.8, 0.4)]
    assert [column.rectangles[0].height for column in filled] == heights
    assert chart["scale"] == ["5 s", "2.5 s", "0 s"]
    assert sum(column.is_gap for column in chart["columns"]) == 141
    assert filled[1].url == reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    assert len(chart["rows"]) == 3


@pytest.mark.parametrize(
    ("outcomes", "shown"),
    [
        (("failed", "applied"), "failed"),
        (("partial", "applied", "planned"), "partial"),
        (("refused", "failed", "partial"), "failed"),
        (("planned", "applied"), "applied"),
    ],
)
def test_success_several_syncs_in_ten_minutes_have_the_worst_outcome_and_the_longest_duration(
    outcomes: tuple[str, ...], shown: str
) -> None:
    for number, outcome in enumerate(outcomes):
        make_run(9 - number, outcome, duration_seconds=59.3 - number)
    (row,) = get_chart("Full syncs")["rows"]
    assert row["text"] == f"{len(outcomes)} syncs, the worst {shown}, the longest 59.3 s"
    assert row["values"] == (59.3,)


def test_success_the_last_acts_name_roles_and_people() -> None:
    acme = row_factories.make_tenant("acme")
    anna, details = row_factories.make_participant(acme, "anna"), {"role": "super_admin"}
    record_audit(HOST_OPERATOR, "role grant", anna, NOW, details)
    record_audit(HOST_OPERATOR, "suspend-participant", anna, NOW + timedelta(minutes=1))
    assert [entry["text"] for entry in get_list("Last actions of operators")["entries"]] == [
        "suspend-participant Anna (@anna.acme:localhost)",
        "role grant super_admin Anna (@anna.acme:localhost)",
    ]


def test_success_changes_are_stacked_by_kind() -> None:
    make_run(5, counts={"tenants": {"added": 1}, "participants": {"added": 2, "updated": 1}})
    make_run(4, "failed", counts={"participants": {"added": 99}})
    column = get_chart("Changes from ScaiKey")["columns"][-1]
    assert (column.label, column.text) == ("2026-11-24", "tenants 1, participants 3")
    heights = {each.style: each.height for each in column.rectangles}
    assert heights == {"series-1": HEIGHT / 5, "series-2": HEIGHT * 3 / 5}
    assert min(each.y for each in column.rectangles) == HEIGHT / 5


def test_success_figures_of_a_day_feed_the_charts() -> None:
    acme = row_factories.make_tenant("acme")
    anna = row_factories.make_participant(acme, "anna")
    row_factories.make_room(row_factories.make_workspace(acme), anna)
    row_factories.make_media(acme, "file", size=2048)
    for days_ago, now in ((1, NOW - timedelta(days=1)), (0, NOW), (0, NOW + timedelta(hours=1))):
        result = record_figures(operator=HOST_OPERATOR, now=now)
        assert result.subject["day"] == str((NOW - timedelta(days=days_ago)).date())
    assert DailyFigures.objects.count() == 2
    last = get_chart("Storage")["columns"][-1]
    assert (last.label, last.text) == ("2026-11-24", "2.0 KiB")
    assert len(get_chart("People")["columns"]) == 90
    assert [row["text"] for row in get_chart("Rooms")["rows"]] == ["1", "1"]


def test_success_a_dry_run_records_nothing() -> None:
    run_command("record_figures", "--dry-run")
    assert not DailyFigures.objects.exists()
    assert "Recorded for" in run_command("record_figures")


def test_success_a_tenant_has_one_line_with_its_greatest_share() -> None:
    for number in range(12):
        tenant = row_factories.make_tenant(f"t{number:02}", max_participants=20, max_rooms=20)
        anna = row_factories.make_participant(tenant, "anna")
        workspace = row_factories.make_workspace(tenant)
        for room in range(number + 1):
            row_factories.make_room(workspace, anna, f"room-{room}")
    entries = get_list("Nearest to a limit")["entries"]
    assert [entry["text"] for entry in entries] == [f"t{number:02}" for number in range(11, 1, -1)]
    assert (entries[0]["badge"], entries[0]["tone"]) == ("60%", "neutral")
    assert {entry["details"] for entry in entries} == {"of its rooms"}
    assert not any("limit" in text for text in get_tasks())


def test_success_the_last_failures_are_of_all_kinds_by_time(client: Client) -> None:
    make_run(9, "applied")
    make_run(8, "failed", error_code="SW_X", error_message="It broke.", error_fix="Fix `it`.")
    make_run(4, "refused", is_dry_run=True)
    make_run(2, "partial")
    for minutes, outcome, code in (
        (1.5, "refused", "SW_SYNC_PLAN_CHANGED"),
        (1, "failed", "SW_INTERRUPTED"),
    ):
        make_run(minutes, outcome, error_code=code)
    for number, minutes in enumerate((7, 6, 3)):
        make_webhook(number, minutes)
    make_webhook(9, 1, state="handled")
    shown = get_list("Last failures")
    assert [(entry["badge"], entry["text"]) for entry in shown["entries"]] == [
        ("webhook failed", "user.updated usr_2: Not found."),
        ("webhook failed", "user.updated usr_1: Not found."),
        ("webhook failed", "user.updated usr_0: Not found."),
        ("sync failed", "It broke."),
    ]
    assert shown["entries"][-1]["details"] == "Fix `it`."
    listed = {link["text"]: list_shown(client, link["url"]) for link in shown["links"]}
    assert [run.error_code for run in listed["failed syncs"]] == ["SW_X"]
    assert len(listed["failed webhooks"]) == 3
    assert list_shown(client, shown["url"]) == listed["failed syncs"]


def test_fail_failures_of_what_an_account_may_not_see_are_not_listed() -> None:
    make_run(8, "failed")
    make_webhook(1, 3)
    shown = get_list("Last failures", hidden="identity_sync.view_webhookevent")
    assert [entry["badge"] for entry in shown["entries"]] == ["sync failed"]
    assert [link["text"] for link in shown["links"]] == ["failed syncs"]


def test_success_each_card_leads_to_its_filtered_list(client: Client) -> None:
    acme = row_factories.make_tenant("acme")
    row_factories.make_tenant("held", suspended_by_hand_at=NOW)
    row_factories.make_tenant("gone", absent_since=NOW)
    anna = row_factories.make_participant(acme, "anna")
    workspace = row_factories.make_workspace(acme)
    for state in ("open", "archived", "closed"):
        room = row_factories.make_room(workspace, anna, state)
        Room.objects.filter(pk=room.pk).update(state=state)
    make_run(5)
    make_run(4, "failed")
    cards = get_cards()
    shown = {link["text"]: link["url"] for link in cards["Active tenants"]["links"]}
    assert [row.slug for row in list_shown(client, shown["1 suspended"])] == ["held"]
    assert [row.slug for row in list_shown(client, shown["1 deactivated"])] == ["gone"]
    states = {room.state for room in list_shown(client, cards["Rooms"]["url"])}
    assert states == {"open", "archived"}
    (run,) = list_shown(client, cards["Sync"]["url"])
    assert run.outcome == "applied"


def test_success_ai_tokens_lead_to_the_usage_of_this_month(client: Client) -> None:
    now = datetime.now(UTC)
    this_month = now.date().replace(day=1)
    acme = row_factories.make_tenant("acme")
    for month, tokens in ((this_month, 7), (this_month - timedelta(days=1), 5)):
        TokenUsage.objects.create(
            tenant=acme,
            month=month.replace(day=1),
            total_tokens=tokens,
            input_tokens=0,
            output_tokens=tokens,
            fetched_at=now,
        )
    card = get_cards(now)["AI tokens this month"]
    assert card["value"] == "7"
    assert [row.total_tokens for row in list_shown(client, card["url"])] == [7]


@pytest.mark.parametrize(("month", "number"), [("2020-02", 1), ("2020-2", 2), ("x", 2), ("", 2)])
def test_success_the_usage_of_any_month_can_be_selected(
    month: str, number: int, client: Client
) -> None:
    acme = row_factories.make_tenant("acme")
    for first in (date(2020, 2, 1), date(2026, 11, 1)):
        TokenUsage.objects.create(tenant=acme, month=first, total_tokens=1, fetched_at=NOW)
    url = reverse("admin:tenants_tokenusage_changelist")
    assert len(list_shown(client, f"{url}?month={month}")) == number


def test_success_months_without_usage_are_gaps() -> None:
    acme = row_factories.make_tenant("acme")
    TokenUsage.objects.create(tenant=acme, month=date(2026, 11, 1), total_tokens=5, fetched_at=NOW)
    chart = get_chart("AI tokens")
    assert [column.is_gap for column in chart["columns"]] == [True] * 11 + [False]
    assert chart["scale"] == ["5", "2.5", "0"]
