"""The overview of the admin site: its cards, charts and lists, stored for a minute."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings
from redis import Redis
from rq.utils import utcformat

from identity_sync.models import PendingRemoval, Registration, SyncRun
from identity_sync.reasons import Reason
from rooms.models import SearchBackfill
from rooms.search.scope import Scope
from scaiwave.config import load
from scaiwave.operations.overview import build
from scaiwave.operations.overview.stored import MAX_AGE, load_overview
from scaiwave.site.overview import OverviewPart
from tenants.models import (
    AdminUser,
    DoctorRun,
    StoredOverview,
    Tenant,
)
from tests.concurrency import run_concurrently
from tests.identity_sync.reports.test_judgement import REGISTERED
from tests.queue_helpers import plant_failed, plant_worker
from tests.rooms.search.factories import make_lobby, make_message
from tests.scaiwave import row_factories
from tests.scaiwave.operations.overview_parts import (
    NOW,
    find_task,
    get_cards,
    get_list,
    get_tasks,
    list_shown,
    make_key,
    make_run,
    make_skip,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
REGISTER = "scaiwave sync register"


@pytest.fixture
def _registered(settings: Settings) -> None:
    home = settings.CONFIG.get_str("SCAIWAVE_HOME")
    settings.CONFIG = load({**REGISTERED, **({"SCAIWAVE_HOME": home} if home else {})})


def test_success_an_empty_server_names_what_to_do(client: Client) -> None:
    assert get_cards()["Sync"]["value"] == "never successful"
    assert find_task("regist")["command"].startswith("scaiwave sync register")
    key = find_task("no signing key")
    assert key["command"] == "scaiwave admin federation key generate"
    page = client.get(reverse("admin:index")).content.decode()
    assert f'href="{key["url"]}">Create a signing key</a>' in page
    assert f"{len(get_tasks())} things need you" in page
    assert "Sync now" not in page, "A sync can't help before this server is registered."


@pytest.mark.usefixtures("_registered")
def test_success_a_server_without_tasks_is_well(client: Client) -> None:
    now = datetime.now(UTC)
    make_key(now)
    DoctorRun.objects.create(ran_at=now, operator="root", is_healthy=True, findings=[])
    SearchBackfill.objects.create(
        scope=Scope().name,
        operator="root",
        started_at=now,
        finished_at=now,
        outcome={"tenants": []},
    )
    make_run((NOW - now).total_seconds() / 60 + 1)
    assert get_tasks(now) == {}
    page = client.get(reverse("admin:index")).content.decode()
    assert "Everything is well" in page


@pytest.mark.usefixtures("_registered")
def test_success_removals_that_wait_are_one_task_with_its_button(client: Client) -> None:
    """The partial syncs that set them aside are no failures, and their rows no other tasks."""
    acme = row_factories.make_tenant("acme")
    for number in range(3):
        row_factories.make_pending_removal(acme, number, at=NOW - timedelta(hours=3))
        make_skip(number, reason_code=Reason.PENDING, runs=9, tenant=acme)
    for minutes in (35, 25, 15, 5):
        make_run(minutes, "partial", error_code="SW_SYNC_PARTIAL", error_message="3 wait.")
    tasks = [task for task in get_tasks().values() if "remov" in task["text"]]
    assert [(task["text"], task["button"]) for task in tasks] == [
        ("3 removals wait for a decision, the oldest for 3 hours: acme (3).", "Review 3 removals")
    ]
    assert len(list_shown(client, tasks[0]["url"])) == 3
    assert get_list("Last failures")["entries"] == []
    card = get_cards()["Sync"]
    assert (card["value"], card["tone"]) == ("applied, except for skipped rows", "warn")
    assert card["details"][-1] == tasks[0]["text"]
    PendingRemoval.objects.update(state="approved", expires_at=NOW + timedelta(hours=23))
    approved = "3 approved removals wait for the next sync. The first approval lapses in 23 hours."
    task = find_task("3 approved")
    assert (task["text"], task["button"]) == (approved, "Sync now")
    card = get_cards()["Sync"]
    assert (card["value"], card["tone"]) == ("applied, except for skipped rows", "warn")
    assert card["details"][-1] == approved


@pytest.mark.usefixtures("_registered")
def test_success_an_overdue_sync_is_started_in_place_by_those_who_may(
    client: Client, settings: Settings
) -> None:
    make_run((NOW - datetime.now(UTC)).total_seconds() / 60 + 60)
    button = f'href="{reverse("admin:act", args=["sync"])}">Sync now</a>'
    assert button in client.get(reverse("admin:index")).content.decode()
    looking = AdminUser.objects.create_user("looking", is_staff=True)
    looking.user_permissions.add(Permission.objects.get(codename="view_syncrun"))
    client.force_login(looking)
    page = client.get(reverse("admin:index")).content.decode()
    assert "The last successful full sync was" in page
    assert button not in page
    assert "In a terminal" not in page


@pytest.mark.usefixtures("_registered")
def test_success_cards_count_as_lists_do() -> None:
    acme = row_factories.make_tenant("acme", max_rooms=1)
    row_factories.make_tenant("gone", absent_since=NOW)
    anna = row_factories.make_participant(acme, "anna")
    row_factories.make_participant(acme, "ben", suspended_by_hand_at=NOW)
    row_factories.make_room(row_factories.make_workspace(acme), anna)
    make_run(5)
    cards = get_cards()
    assert cards["Active tenants"]["value"] == "1"
    assert [link["text"] for link in cards["Active tenants"]["links"]] == [
        "0 suspended",
        "1 deactivated",
    ]
    assert cards["People"]["value"] == cards["Rooms"]["value"] == "1"
    task = find_task("limit")
    assert (task["text"], task["button"]) == ("1 tenant has reached a limit.", "Show 1 tenant")
    assert task["details"] == ["acme (100% of its rooms)."]
    card = cards["Sync"]
    assert (card["value"], card["tone"], card["at"]) == (
        "up to date",
        "good",
        "2026-11-24T11:55:02+00:00",
    )
    assert card["details"] == ["The next is due in 5 minutes."]
    make_run(2, "failed", error_code="SW_X")
    card = get_cards()["Sync"]
    assert (card["value"], card["tone"]) == ("not up to date since", "warn")
    assert card["details"] == ["The next is due in 8 minutes.", "The last full sync failed: SW_X."]


def test_success_the_drift_states_what_was_skipped() -> None:
    kinds = {"participants": {"added": 3, "skipped": 2}}
    for counts, end in (
        (kinds, "5 differences: 3 corrected, 2 skipped."),
        ({"groups": {"skipped": 177}}, "177 differences: 0 corrected, 177 skipped."),
        ({"groups": {"updated": 1}}, "1 difference: 1 corrected, 0 skipped."),
    ):
        make_run(5, "partial", counts=counts)
        tables = build.build_overview(NOW)["tables"]
        (table,) = [each for each in tables if each["title"] == "Drift by kind"]
        assert table["details"].endswith(f" found {end}")


def test_success_all_processes_share_one_row_for_a_minute() -> None:
    row_factories.make_tenant("acme")
    first = json.loads(json.dumps(load_overview(NOW)))
    row_factories.make_tenant("lab")
    with CaptureQueriesContext(connection) as caught:
        assert load_overview(NOW + MAX_AGE - timedelta(seconds=1)) == first
    assert len(caught) == 1
    assert load_overview(NOW + MAX_AGE) != first
    assert StoredOverview.objects.count() == 1


def test_success_an_account_sees_its_own_acts_at_once(client: Client) -> None:
    acme = row_factories.make_tenant("acme")
    other = Client()
    other.force_login(AdminUser.objects.create_superuser("other"))

    def count_tenants(reader: Client) -> tuple[str, bool]:
        """Return the number of active tenants, and whether the overview was stored."""
        with CaptureQueriesContext(connection) as caught:
            overview = reader.get(reverse("admin:index")).context["overview"]
        cards = {card["title"]: card["value"] for card in overview["volumes"]}
        return cards["Active tenants"], len(caught) <= 4

    assert (count_tenants(client), count_tenants(other)) == (("1", False), ("1", True))
    url, reason = reverse("admin:act", args=["admin-suspend-tenant", acme.pk]), {"reason": "unpaid"}
    asked = client.post(url, reason).context["confirmation"]
    assert count_tenants(client) == ("1", True), "Nothing is done yet."
    client.post(url, {**reason, "confirmed": asked})
    assert count_tenants(other) == ("1", True), "Only the reader of its own act has it built."
    assert (count_tenants(client), count_tenants(client)) == (("0", False), ("0", True))
    assert count_tenants(other) == ("0", True)


@pytest.mark.django_db(transaction=True)
def test_success_requests_at_once_build_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[datetime] = []

    def count(now: datetime) -> OverviewPart:
        builds.append(now)
        return OverviewPart()

    monkeypatch.setattr(build, "PARTS", (*build.PARTS, count))
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

    monkeypatch.setattr(build, "PARTS", (*build.PARTS, write))
    assert load_overview(NOW)["volumes"]
    assert Tenant.objects.filter(slug="written").exists()


def test_success_an_overview_from_a_moment_later_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another request, which began after this one, has just built it."""
    load_overview(NOW + timedelta(milliseconds=1))
    monkeypatch.setattr(build, "PARTS", ())
    assert load_overview(NOW)["volumes"]


def test_success_a_stored_overview_of_the_future_is_replaced() -> None:
    load_overview(NOW + timedelta(days=1))
    row_factories.make_tenant("acme")
    cards = {card["title"]: card for card in load_overview(NOW)["volumes"]}
    assert cards["Active tenants"]["value"] == "1"


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
    assert counts[0] == counts[1] <= 44
    assert len(caught) <= 4


def test_success_an_account_sees_only_what_it_may() -> None:
    user = AdminUser.objects.create_user("view", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    client = Client()
    client.force_login(user)
    overview = client.get(reverse("admin:index")).context["overview"]
    assert [card["title"] for card in overview["volumes"]] == ["Active tenants"]
    assert overview["tasks"] == overview["health"] == []
    assert {each["title"] for each in overview["lists"]} == {"Nearest to a limit"}
    assert overview["charts"] == []


def test_success_hostile_names_are_escaped(client: Client) -> None:
    Tenant.objects.filter(pk=row_factories.make_tenant("acme", max_rooms=0).pk).update(slug="<b>")
    make_run(5, "failed", error_message="<script>alert(1)</script>")
    page = client.get(reverse("admin:index")).content.decode()
    assert "<script>alert" not in page


def test_success_doctor_card_shows_the_last_run() -> None:
    assert get_cards()["Doctor"]["value"] == "never run"
    finding = {"check": "keys", "state": "warn", "message": "No signing key.", "fix": ""}
    DoctorRun.objects.create(
        ran_at=NOW - timedelta(hours=2), operator="root", is_healthy=True, findings=[finding]
    )
    card = get_cards()["Doctor"]
    assert (card["value"], card["tone"]) == ("1 finding", "warn")
    assert card["at"] == "2026-11-24T10:00:00+00:00"
    run = DoctorRun.objects.get()
    assert card["url"] == reverse("admin:tenants_doctorrun_change", args=[run.pk])
    assert not any("doctor" in text for text in get_tasks()), "The page judges keys itself."
    DoctorRun.objects.update(findings=[finding, {**finding, "check": "disk", "message": "Full."}])
    task = find_task("doctor")
    assert (task["details"], task["url"]) == (["Full."], card["url"])


def test_success_a_redis_that_does_not_answer_is_one_card(settings: Settings) -> None:
    make_run(5, "applied")
    assert get_cards()["Sync"]["details"] == ["The next is due in 5 minutes."]
    assert not {"Workers", "Scheduler"} & get_cards().keys()
    card = get_cards()["Background jobs"]
    assert (card["value"], card["url"]) == ("run by cron", reverse("admin:jobs"))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CONFIG = load({"SCAIWAVE_REDIS_URL": settings.REDIS_URL})
    card = get_cards()["Workers"]
    assert (card["value"], card["tone"]) == ("unknown", "bad")
    assert get_cards()["Sync"]["details"] == ["Until Redis answers, no scheduler starts a sync."]
    (task,) = [task for task in get_tasks().values() if "Redis" in task["text"]]
    assert task["details"][0]


def test_success_a_limit_of_zero_is_reached_by_the_first(client: Client) -> None:
    acme = row_factories.make_tenant("acme", max_participants=0, max_rooms=0)
    row_factories.make_participant(acme, "anna")
    assert find_task("limit")["details"] == ["acme (100% of its participants)."]
    nearest = next(
        each for each in load_overview(NOW)["lists"] if each["title"] == "Nearest to a limit"
    )
    assert [(entry["badge"], entry["details"]) for entry in nearest["entries"]] == [
        ("100%", "of its participants")
    ]
    page = client.get(reverse("admin:tenants_tenant_change", args=[acme.pk])).content.decode()
    assert "1 / 0" in page


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize(
    ("minutes_ago", "sentence"),
    [
        (5, "The next is due in 5 minutes."),
        (45, "The next was due 35 minutes ago."),
        (24 * 60, "The next was due 23 hours ago."),
    ],
)
def test_success_the_card_has_the_time_of_the_next_sync_also_after_failures(
    minutes_ago: float, sentence: str
) -> None:
    for minutes in (20, 10):
        make_run(minutes_ago + minutes, "failed", error_code="SW_X", error_message="Timeout.")
    make_run(minutes_ago, "failed", error_code="SW_X", error_message="ScaiKey is down.")
    assert get_cards()["Sync"]["details"] == [sentence]
    task = find_task("failed")
    assert task["text"] == "The last 3 full syncs failed. The latest: ScaiKey is down."
    assert task["url"] == reverse(
        "admin:identity_sync_syncrun_change", args=[SyncRun.objects.newest_first()[0].pk]
    )


@pytest.mark.usefixtures("_registered")
def test_success_repeated_skips_are_said_plainly() -> None:
    make_run(5)
    make_skip(1, runs=7, subject_name="Aylin Demir")
    make_skip(2, runs=2)
    task = find_task("differences")
    assert task["text"] == (
        "2 differences from ScaiKey remain, because 2 or more syncs in a row have skipped them. "
        "The oldest concerns the participant Aylin Demir (usr-1): over the removal limit of its "
        "tenant."
    )
    assert (task["button"], task["command"]) == (
        "Show the skipped rows",
        "scaiwave sync --dry-run -v 2",
    )


def test_success_a_document_of_another_release_is_left_to_it(client: Client) -> None:
    """During an upgrade, both run for a while with the same database."""
    now = datetime.now(UTC)
    StoredOverview.objects.create(scope="server", built_at=now, document={"cards": []})
    assert client.get(reverse("admin:index")).status_code == HTTPStatus.OK
    assert StoredOverview.objects.get(scope="server").document == {"cards": []}


@pytest.mark.parametrize(
    ("state", "fields", "value", "tone", "command"),
    [
        ("PENDING", {}, "waiting for approval", "warn", "scaiwave sync register"),
        ("APPROVED", {}, "approved, credentials missing", "bad", "scaiwave sync register"),
        (
            "REJECTED",
            {"rejection_reason": "Unknown server."},
            "rejected: Unknown server",
            "bad",
            "scaiwave sync register",
        ),
        ("EXPIRED", {}, "not registered", "bad", "scaiwave sync register"),
    ],
)
def test_success_the_card_of_the_registration_has_each_state_with_its_command(
    state: str, fields: dict[str, str], value: str, tone: str, command: str
) -> None:
    Registration.objects.create(
        scaikey_url="https://scaikey.example.com",
        request_id="req-1",
        name="chat",
        scope="GLOBAL",
        state=state,
        requested_at=NOW,
        **fields,
    )
    card = get_cards()["Registration with ScaiKey"]
    assert (card["value"], card["tone"]) == (value, tone)
    (task,) = [task for task in get_tasks().values() if task["command"].startswith(REGISTER)]
    assert (task["tone"], task["command"]) == (tone, command)
    assert task["details"][0].endswith(".")


def test_success_no_judgement_is_a_colour_only(client: Client) -> None:
    make_run(5)
    StoredOverview.objects.all().delete()
    page = client.get(reverse("admin:index")).content.decode()
    cards = page.partition('aria-label="Health"')[2].partition('aria-label="Volumes"')[0]
    words = {"good": ": well<", "warn": ": needs attention<", "bad": ": needs action<"}
    for tone, word in words.items():
        assert cards.count(f'class="dot {tone}"') == cards.count(word)
    assert cards.count("dot bad")
    assert cards.count("dot warn")


@pytest.mark.parametrize(
    ("days", "value", "tone"),
    [
        (100, "265 days left", "good"),
        (364, "1 day left", "warn"),
        (366, "overdue by 1 day", "bad"),
        (400, "overdue by 35 days", "bad"),
    ],
)
def test_success_an_overdue_signing_key_says_by_how_many_days(
    days: int, value: str, tone: str
) -> None:
    key = make_key(NOW - timedelta(days=days))
    card = get_cards()["Signing key"]
    assert (card["value"], card["tone"]) == (value, tone)
    tasks = [task for text, task in get_tasks().items() if "signing key" in text]
    rotate = reverse("admin:act", args=["admin-federation-key-rotate", key.pk])
    assert [(task["tone"], task["url"]) for task in tasks] == (
        [] if tone == "good" else [(tone, rotate)]
    )


def test_success_an_empty_search_index_has_its_command(settings: Settings) -> None:
    assert get_cards()["Search"]["value"] == "up to date"
    make_message(make_lobby(), "one")
    card = get_cards()["Search"]
    assert (card["value"], card["tone"]) == ("1 message to index", "warn")
    task = find_task("search index")
    assert task["text"] == "1 message is not in the search index."
    assert task["command"] == "scaiwave room search-index --inline"


@pytest.mark.redis
def test_success_workers_are_judged_as_on_the_page_of_jobs(
    redis_url: str, settings: Settings, client: Client
) -> None:
    settings.REDIS_URL = redis_url
    now = datetime.now(UTC)
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        plant_failed(redis, "a", "It was killed.")
        plant_worker(redis, "well")
        plant_worker(redis, "foreign")
        redis.hdel("rq:worker:foreign", "scaiwave")
        plant_worker(
            redis, "silent", last_heartbeat=utcformat(datetime.now(UTC) - timedelta(minutes=1))
        )
        cards = get_cards(now)
        assert (cards["Workers"]["value"], cards["Workers"]["tone"]) == ("1 running", "warn")
        assert find_task("workers", now)["text"] == "2 of 3 workers need attention."
        assert find_task("job", now)["button"] == "Show 1 failed job"
        assert [link["text"] for link in cards["Workers"]["links"]] == [
            "0 jobs waiting",
            "1 failed",
        ]
        assert find_task("No scheduler", now)["command"] == "scaiwave scheduler"
        failures = get_list("Last failures")
        (entry,) = failures["entries"]
        assert (entry["badge"], entry["text"]) == ("job failed", "full_sync: It was killed.")
        assert client.get(failures["links"][-1]["url"]).status_code == HTTPStatus.OK
        redis.flushdb()
