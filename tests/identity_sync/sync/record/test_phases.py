"""The phases of a run, which its page shows while it is in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identity_sync.models import LOCK, Outcome, SyncRun
from identity_sync.site import runs
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.record.run_record import PhaseRecorder
from identity_sync.sync.run import run_sync
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback
from scaiwave.core.locks import process_lock
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership
from tests.identity_sync.sync.helpers import HOST, get_last_run, sync
from tests.scaiwave import row_factories


def make_run() -> SyncRun:
    return SyncRun.objects.create(operator="cron", started_at=row_factories.NOW)


def read_phases(run: SyncRun) -> list[tuple[Any, ...]]:
    run.refresh_from_db()
    return [(phase["name"], phase["done"], phase["has_ended"]) for phase in run.phases]


@pytest.mark.django_db(transaction=True)
def test_success_phases_are_recorded_when_they_begin_and_end() -> None:
    run = make_run()
    shown: list[tuple[Any, ...]] = []

    @contextmanager
    def show(label: str, kind: ColumnType = ColumnType.COUNT, /) -> Iterator[ProgressCallback]:
        yield lambda done, total: shown.append((label, done, total))

    recorder = PhaseRecorder(run, show)
    with recorder("People") as report:
        assert read_phases(run) == [("People", None, False)]
        report(1200, 5000)
    assert shown == [("People", 1200, 5000)]
    recorder.begin("Comparing and writing")
    assert read_phases(run) == [
        ("People", 1200, True),
        ("Comparing and writing", None, False),
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.sandbox(partners=1, tenants=2, people=6, groups=2)
def test_success_a_run_has_phases_until_it_ends(scaikey: Sandbox) -> None:
    during: list[str] = []
    sync(on_planned=lambda: during.extend(each["name"] for each in get_last_run().phases))
    assert during == [
        "Partners",
        "Tenants",
        "People",
        "Groups",
        "Group members",
        "Comparing and writing",
    ]
    assert (get_last_run().outcome, get_last_run().phases) == (Outcome.APPLIED, [])


@pytest.mark.django_db
@pytest.mark.parametrize("is_alive", [True, False])
def test_success_page_shows_the_phases_of_a_run_in_progress(
    is_alive: bool, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    run = make_run()
    run.phases = [
        {"name": "People", "done": 1200, "total": 5000, "has_ended": True},
        {"name": "Groups", "done": None, "total": None, "has_ended": False},
    ]
    run.save()
    url = reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    with process_lock(LOCK if is_alive else "another") as acquired:
        assert acquired
        page = client.get(url).content.decode()
    assert ("1,200 of 5,000" in page) is ("data-live" in page) is is_alive
    assert ("has ended without a result" in page) is not is_alive
    # The run ends after the page has read it: its process has a result.
    ended = SyncRun.objects.filter(pk=run.pk)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "is_locked", lambda name: ended.update(outcome=Outcome.FAILED) > 1)
        page = client.get(url).content.decode()
    assert ("has ended without a result" in page, "data-live" in page) == (False, True)
    SyncRun.objects.update(outcome=Outcome.APPLIED)
    assert "data-live" not in client.get(url).content.decode()


@pytest.mark.django_db
@pytest.mark.sandbox(partners=1, tenants=2, people=30, groups=4)
def test_success_comparing_and_writing_show_how_far_they_are(scaikey: Sandbox) -> None:
    shown: dict[str, list[tuple[int, int | None]]] = {}

    @contextmanager
    def show(label: str, kind: ColumnType = ColumnType.COUNT, /) -> Iterator[ProgressCallback]:
        yield lambda done, total: shown.setdefault(label, []).append((done, total))

    report = run_sync(SyncOptions(HOST, progress_factory=show))
    seen = sum(counts.seen for counts in report.kinds.values())
    for label, total in (("Comparing", seen), ("Writing", report.change_count)):
        amounts = [done for done, _ in shown[label]]
        assert amounts == sorted(amounts)
        assert (amounts[0], amounts[-1]) == (0, total)
        assert len(set(amounts)) > 3


@pytest.mark.django_db
@pytest.mark.sandbox(partners=1, tenants=2, people=30, groups=4, scim=False)
def test_success_reading_members_again_shows_how_far_it_is(synced: Sandbox) -> None:
    shown: list[tuple[str, int, int | None]] = []

    @contextmanager
    def show(label: str, kind: ColumnType = ColumnType.COUNT, /) -> Iterator[ProgressCallback]:
        yield lambda done, total: shown.append((label, done, total))

    edge = GroupMembership.objects.exclude(member_participant=None)[0]
    assert edge.member_participant is not None
    synced.directory.remove_member(
        str(edge.group.scaikey_id), user_id=str(edge.member_participant.scaikey_id)
    )
    run_sync(SyncOptions(HOST, progress_factory=show))
    assert ("Reading group members again", 1, 1) in shown
