"""Rows of earlier releases have sentences in place of codes."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection

from identity_sync.models import SyncChange, SyncPlannedChange, SyncRun, SyncSkip
from identity_sync.reasons import ON_PURPOSE, POSTPONED, Reason, format_reason
from identity_sync.sync.judge.losses import AFFECTED
from identity_sync.sync.record.history import count_recent_losses

migration = import_module("identity_sync.migrations.0011_convert_reasons")

pytestmark = pytest.mark.django_db

NEWER = {
    Reason.UNREADABLE,
    Reason.UNREADABLE_LIST,
    Reason.NOT_RETURNED,
    Reason.PENDING,
    Reason.KEPT,
}
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TEXTS = (
    *migration.CODES,
    "postponed: ScaiKey returned a 403",
    "unusable record: the e-mail address is missing",
    "something that an older release wrote",
    "postponed",
)


def make_skip(number: int, text: str) -> SyncSkip:
    return SyncSkip.objects.create(
        kind="participants",
        subject_scaikey_id=f"usr-{number}",
        detail=text,
        first_skipped_at=NOW,
        last_skipped_at=NOW,
    )


def convert() -> None:
    editor = SimpleNamespace(connection=connection)
    migration.convert_reasons(apps, editor)
    migration.convert_fixes(apps, editor)
    migration.convert_measures(apps, editor)


def test_success_what_is_shown_stays_the_same() -> None:
    for number, text in enumerate(TEXTS):
        make_skip(number, text)
    convert()
    skips = SyncSkip.objects.order_by("pk")
    assert [skip.reason for skip in skips] == list(TEXTS)
    unknown = [skip.detail for skip in skips if not skip.reason_code]
    assert unknown == list(TEXTS[-2:])
    codes = {skip.reason_code for skip in skips} - {""}
    assert codes == set(Reason.values) - NEWER


def test_success_changes_and_planned_ones_too() -> None:
    run = SyncRun.objects.create(started_at=NOW, outcome="applied")
    fields = {"run": run, "kind": "participants", "action": "deactivate", "detail": TEXTS[5]}
    rows: list[SyncChange | SyncPlannedChange] = [
        SyncChange(**fields, subject_id=uuid4()),
        SyncPlannedChange(**fields, subject_id=uuid4(), is_removal=True),
    ]
    for row in rows:
        row.save()
    convert()
    for row in rows:
        row.refresh_from_db()
        assert (row.reason_code, row.detail, row.reason) == (Reason.REMOVED, "", TEXTS[5])


def test_success_codes_and_prefixes_agree() -> None:
    for code in Reason:
        is_postponed = format_reason(code, "x").startswith("postponed: ")
        assert is_postponed == (code in POSTPONED)
    assert not set(ON_PURPOSE) & set(POSTPONED)


@pytest.mark.parametrize(
    ("fix", "command"),
    [
        ("", ""),
        ("Check the disk.", ""),
        ("Run `scaiwave sync`, or `scaiwave doctor`.", "scaiwave sync"),
        (
            "If they are correct, allow exactly this plan: `scaiwave sync --tenant acme "
            "--allow-removals 30`. To review it first: `scaiwave sync --dry-run -v 2`.",
            "scaiwave sync --tenant acme --allow-removals 30",
        ),
    ],
)
def test_success_runs_keep_what_they_offer(fix: str, command: str) -> None:
    run = SyncRun.objects.create(started_at=NOW, outcome="refused", error_fix=fix)
    convert()
    run.refresh_from_db()
    assert (run.fix_command, run.error_fix) == (command, fix)


def test_success_losses_count_for_the_next_limit() -> None:
    losses = [["people", "1", 2], ["affected people", "1", 3]]
    SyncRun.objects.create(started_at=NOW, outcome="applied", trigger="webhook", losses=losses)
    convert()
    assert count_recent_losses(NOW) == {("people", "1"): 2, (AFFECTED, "1"): 3}


def test_success_a_code_of_a_later_release_is_shown_as_it_is() -> None:
    assert format_reason("of_tomorrow", "") == "of_tomorrow"
    assert format_reason("of_tomorrow", "its detail") == "its detail"
