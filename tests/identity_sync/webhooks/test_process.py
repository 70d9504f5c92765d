"""What becomes of stored events: handled, tried again, or left to the next full sync."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone
from pytest_django import Settings

from identity_sync.errors import LastSuperAdminLost
from identity_sync.models import PendingRemoval, SyncRun, WebhookEvent
from identity_sync.report import SyncReport
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.run import run_sync
from identity_sync.webhooks import process
from identity_sync.webhooks.process import process_events
from identity_sync.webhooks.receive import receive_event
from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership, Participant
from tests.identity_sync.sync.helpers import (
    HOST,
    list_people,
    read_database,
    read_directory,
    sync,
)
from tests.identity_sync.webhooks.factories import make_body
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(people=40, tenants=3, groups=4),
    pytest.mark.dated,
]

numbers = count()


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings) -> Sandbox:
    settings.CONFIG = make_config(sandbox)
    sync()
    return sandbox


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which pass at once: what waits for its next attempt is due."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        WebhookEvent.objects.update(next_attempt_at=None)

    monkeypatch.setattr(f"{process.__name__}.time.sleep", sleep)
    return pauses


def store(event_type: str, key: str) -> WebhookEvent:
    body = make_body(event_type, key, f"evt_{next(numbers)}")
    receive_event(body, now=timezone.now())
    return WebhookEvent.objects.latest("received_at")


def states() -> list[tuple[str, int, str]]:
    rows = WebhookEvent.objects.order_by("received_at", "id")
    return list(rows.values_list("state", "attempts", "error_code"))


def test_success_many_events_are_one_run(scaikey: Sandbox) -> None:
    people = [row["id"] for row in list_people(scaikey)[:5]]
    for person in people:
        scaikey.directory.suspend_user(person)
        for event_type in ("user.updated", "user.suspended"):
            store(event_type, person)
    process_events(operator=HOST)
    assert read_database() == read_directory(scaikey)
    (run,) = SyncRun.objects.filter(trigger="webhook")
    assert run.webhook_events.count() == 10
    assert {state for state, _, _ in states()} == {"handled"}


def test_success_a_new_tenant_is_read_whole(scaikey: Sandbox) -> None:
    tenant = scaikey.directory.add_tenant(name="New", slug="new", people=3)
    group = scaikey.directory.add_group(tenant, name="All")
    scaikey.directory.add_member(group, user_id=list_people(scaikey)[-1]["id"])
    store("tenant.created", tenant)
    process_events(operator=HOST)
    assert read_database() == read_directory(scaikey)
    runs = SyncRun.objects.filter(trigger="webhook").order_by("started_at")
    assert [run.tenant and run.tenant.slug for run in runs] == [None, "new"]


def test_success_retried_until_scaikey_responds(scaikey: Sandbox, waits: list[float]) -> None:
    person = list_people(scaikey)[0]["id"]
    scaikey.directory.suspend_user(person)
    path = f"/api/v1/admin/users/{person}"
    scaikey.faults.add("status", path=path, status=403, times=3)
    store("user.suspended", person)
    process_events(operator=HOST)
    ((state, attempts, code),) = states()
    assert (state, code) == ("handled", "")
    assert attempts >= 1
    assert waits
    assert Participant.objects.get(scaikey_id=person).scaikey_status == "SUSPENDED"


def test_fail_after_five_attempts_the_next_full_sync_takes_over(scaikey: Sandbox) -> None:
    one, two = (row["id"] for row in list_people(scaikey)[:2])
    for person in (one, two):
        scaikey.directory.suspend_user(person)
    scaikey.faults.add("status", path=f"/api/v1/admin/users/{one}", status=403)
    store("user.suspended", one)
    store("user.suspended", two)
    process_events(operator=HOST)
    assert states() == [("failed", 5, "SW_SYNC_POSTPONED"), ("handled", 0, "")]
    assert Participant.objects.get(scaikey_id=two).scaikey_status == "SUSPENDED"
    scaikey.faults.clear()
    sync()
    assert states()[0] == ("handled", 5, "")
    assert WebhookEvent.objects.first().run == SyncRun.objects.full().newest_first().first()  # type: ignore[union-attr]


def test_fail_a_defect_stops_no_other_event(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (row["id"] for row in list_people(scaikey)[:2])

    def broken(options: SyncOptions) -> object:
        assert options.announced is not None
        if bad in options.announced.list_ids("participants"):
            raise KeyError("a defect")
        return run_sync(options)

    monkeypatch.setattr(process, "run_sync", broken)
    scaikey.directory.suspend_user(good)
    store("user.updated", bad)
    store("user.updated", good)
    process_events(operator=HOST)
    # Both fail in a run of all new events and in one of a few, and then each has its own.
    assert states() == [("failed", 5, "SW_INTERNAL"), ("handled", 2, "")]


def test_fail_only_the_event_that_stops_a_run_is_left_to_the_full_sync(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *good = (row["id"] for row in list_people(scaikey)[:12])

    def stop(options: SyncOptions) -> object:
        assert options.announced is not None
        if bad in options.announced.list_ids("participants"):
            error = LastSuperAdminLost("No one would be left.", fix="Wait.")
            error.report = SyncReport(None)
            raise error
        return run_sync(options)

    monkeypatch.setattr(process, "run_sync", stop)
    store("user.updated", bad)
    for person in good:
        scaikey.directory.suspend_user(person)
        store("user.suspended", person)
    process_events(operator=HOST)
    first, *others = states()
    assert first == ("failed", 3, "SW_SYNC_LAST_SUPER_ADMIN")
    assert {(state, code) for state, _, code in others} == {("handled", "")}
    suspended = Participant.objects.filter(scaikey_status="SUSPENDED", scaikey_id__in=good)
    assert suspended.count() == len(good)


def test_success_events_about_one_record_are_handled_in_their_order(scaikey: Sandbox) -> None:
    """An earlier event that failed is not tried after a later one."""
    person, other = (row["id"] for row in list_people(scaikey)[:2])
    scaikey.faults.add("status", path=f"/api/v1/admin/users/{person}", status=403)
    earlier = store("user.updated", person)
    assert process_events(operator=HOST, events=1) is True
    scaikey.faults.clear()
    scaikey.directory.suspend_user(person)
    later = store("user.suspended", person)
    WebhookEvent.objects.filter(pk=earlier.pk).update(
        attempts=1, next_attempt_at=timezone.now() + timedelta(hours=1)
    )
    unrelated = store("user.updated", other)
    assert process_events(operator=HOST) is False
    runs = {event.event_id: event.run_id for event in WebhookEvent.objects.all()}
    assert len(set(runs.values())) == 1
    assert runs.keys() == {event.event_id for event in (earlier, later, unrelated)}
    assert [state for state, _, _ in states()] == ["handled"] * 3


def test_success_a_deletion_that_a_later_event_covers(scaikey: Sandbox) -> None:
    """ScaiKey does not announce that someone who was restored has left their groups."""
    edges = GroupMembership.objects.exclude(member_participant=None)
    keys = edges.values_list("group__scaikey_id", "member_participant__scaikey_id")[0]
    group, person = map(str, keys)
    scaikey.directory.remove_member(group, user_id=person)
    store("user.deleted", person)
    WebhookEvent.objects.update(attempts=1, next_attempt_at=timezone.now() + timedelta(hours=1))
    store("user.updated", person)
    process_events(operator=HOST)
    assert {state for state, _, _ in states()} == {"handled"}
    assert read_database() == read_directory(scaikey)


def begin_stream(monkeypatch: pytest.MonkeyPatch, person: str) -> list[SyncReport]:
    """Let each run bring another event, as a busy ScaiKey does; return the runs."""
    runs: list[SyncReport] = []
    real = process._sync

    def sync_and_store(*arguments: object, **options: object) -> SyncReport:
        store("user.updated", person)
        runs.append(real(*arguments, **options))  # type: ignore[arg-type]
        return runs[-1]

    monkeypatch.setattr(process, "_sync", sync_and_store)
    store("user.updated", person)
    return runs


def test_success_a_stream_does_not_keep_a_failed_event_from_its_next_attempt(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, other = (row["id"] for row in list_people(scaikey)[:2])
    failed = store("user.updated", person)
    WebhookEvent.objects.filter(pk=failed.pk).update(attempts=1, next_attempt_at=timezone.now())
    runs = begin_stream(monkeypatch, other)
    assert process_events(operator=HOST, events=3) is True
    assert len(runs) <= 3
    failed.refresh_from_db()
    assert failed.state == "handled"


def test_success_a_bounded_number_of_events(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "BATCH_SIZES", (2, 1, 1, 1, 1))
    for row in list_people(scaikey)[:6]:
        store("user.updated", row["id"])
    assert process_events(operator=HOST, events=3) is True
    assert [state for state, _, _ in states()] == ["handled"] * 4 + ["pending"] * 2
    assert process_events(operator=HOST, events=3) is False


def test_success_over_the_removal_limit_only_the_last_events_wait(scaikey: Sandbox) -> None:
    for row in list_people(scaikey)[:23]:
        scaikey.directory.remove_user(row["id"])
        store("user.deleted", row["id"])
    renamed = list_people(scaikey)[0]["id"]
    scaikey.directory.update_user(renamed, display_name="Renamed")
    store("user.updated", renamed)
    process_events(operator=HOST)
    assert set(states()) == {("handled", 0, "")}
    assert Participant.objects.filter(absent_since=None).count() == 20
    assert Participant.objects.get(scaikey_id=renamed).display_name == "Renamed"
    assert PendingRemoval.objects.open().count() == 3
    sync(allow_removals=1000)
    assert not PendingRemoval.objects.open().exists()


def test_success_a_full_sync_covers_what_was_announced_before(scaikey: Sandbox) -> None:
    person = list_people(scaikey)[0]["id"]
    scaikey.directory.suspend_user(person)
    before = store("user.suspended", person)

    def during() -> None:
        store("user.updated", person)

    sync(on_planned=during)
    assert [state for state, _, _ in states()] == ["handled", "pending"]
    before.refresh_from_db()
    assert before.run == SyncRun.objects.full().newest_first().first()


@pytest.mark.parametrize("options", [{"dry_run": True}, {"tenant": True}])
def test_success_a_smaller_run_covers_nothing(scaikey: Sandbox, options: dict[str, object]) -> None:
    store("user.updated", list_people(scaikey)[0]["id"])
    if "tenant" in options:
        options = {"tenant": next(iter(scaikey.directory.tenants.values()))["slug"]}
    sync(**options)
    assert [state for state, _, _ in states()] == ["pending"]


def test_success_only_one_process_at_a_time(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("user.updated", list_people(scaikey)[0]["id"])

    class Taken:
        def __enter__(self) -> bool:
            return False

        def __exit__(self, *exception: object) -> None:
            pass

    monkeypatch.setattr(process, "process_lock", lambda name: Taken())
    process_events(operator=HOST)
    assert [state for state, _, _ in states()] == ["pending"]


def test_success_events_during_the_last_run_are_handled(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that comes between the last look and the release is not left behind."""
    person = list_people(scaikey)[0]["id"]
    store("user.updated", person)
    real, late = process._process_pending, iter([True])

    def drain(operator: Operator, end: float, limit: float) -> int:
        tried = real(operator, end, limit)
        if next(late, False):
            store("user.updated", person)
        return tried

    monkeypatch.setattr(process, "_process_pending", drain)
    process_events(operator=HOST)
    assert [state for state, _, _ in states()] == ["handled", "handled"]


def test_success_a_bounded_share_of_a_stream_of_events(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = process._sync
    runs = begin_stream(monkeypatch, list_people(scaikey)[0]["id"])
    assert process_events(operator=HOST, seconds=0.5) is True
    assert runs
    monkeypatch.setattr(process, "_sync", real)
    assert process_events(operator=HOST, seconds=60.0) is False
    assert {state for state, _, _ in states()} == {"handled"}


def test_success_old_events_are_deleted(scaikey: Sandbox) -> None:
    now = timezone.now()
    old = store("user.updated", list_people(scaikey)[0]["id"])
    process_events(operator=HOST)
    WebhookEvent.objects.filter(pk=old.pk).update(received_at=now - timedelta(days=31))
    waiting = store("user.updated", list_people(scaikey)[1]["id"])
    WebhookEvent.objects.filter(pk=waiting.pk).update(received_at=now - timedelta(days=31))
    SyncRun.objects.update(started_at=now - timedelta(days=31))
    process.delete_old_events(before=now - timedelta(days=30))
    assert list(WebhookEvent.objects.values_list("pk", flat=True)) == [waiting.pk]
    assert not SyncRun.objects.filter(trigger="webhook").exists()
    assert SyncRun.objects.full().exists()


@pytest.mark.parametrize(
    "role",
    [
        OperatorRole.PARTNER_ADMIN,
        OperatorRole.TENANT_ADMIN,
        OperatorRole.PLATFORM_READ,
    ],
)
def test_fail_not_allowed(role: OperatorRole) -> None:
    with pytest.raises(InsufficientPermission):
        process_events(operator=Operator("someone", role))
