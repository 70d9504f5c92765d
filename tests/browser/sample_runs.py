"""Runs of syncs in the sample site."""

from __future__ import annotations

from datetime import datetime, timedelta

from identity_sync.models import (
    SyncChange,
    SyncChangeValues,
    SyncRun,
)
from tenants.models import (
    Participant,
)

DAY = timedelta(days=1)


FAILURES = {
    50: ("failed", "SW_SCAIKEY_UNREACHABLE", "ScaiKey did not answer within 30 seconds."),
    60: ("failed", "SW_SCAIKEY_UNREACHABLE", "ScaiKey did not answer within 30 seconds."),
    430: ("refused", "SW_SYNC_REMOVAL_LIMIT", "The sync would take access from 34 people."),
}


def make_run(started_at: datetime, number: int, added: int = 0) -> SyncRun:
    """Create a full sync. `number` decides how it ended, and what it added if `added` is 0."""
    outcome, code, message = FAILURES.get(number, ("applied", "", ""))
    fix, command = "", ""
    if number == 10:
        outcome, fix = (
            "partial",
            "Review them: `scaiwave sync removals`. Then approve or keep them.",
        )
        command = "scaiwave sync removals"
    elif outcome == "failed":
        fix = "Check that https://scaikey.example.com responds, and run `scaiwave sync` again."
    seconds = 2.5 + number % 7 / 2
    added = added or number % 4
    run = SyncRun.objects.create(
        trigger="cron",
        operator="scheduler",
        outcome=outcome,
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=seconds),
        duration_seconds=seconds,
        requests=24,
        error_code=code,
        error_message=message,
        error_fix=fix,
        fix_command=command,
        counts={
            "partners": count_numbers(2),
            "tenants": count_numbers(11),
            "participants": count_numbers(179, added=added, updated=number % 3, skipped=7),
            "groups": count_numbers(24),
            "memberships": count_numbers(179, added=added),
        },
    )
    if number <= 30:
        make_changes(run, added + 1)
    return run


def count_numbers(seen: int, **changes: int) -> dict[str, int]:
    names = ("added", "updated", "deactivated", "restored", "unchanged", "skipped")
    return {"seen": seen, **dict.fromkeys(names, 0), "unchanged": seen, **changes}


def make_changes(run: SyncRun, number: int) -> None:
    for person in Participant.objects.order_by("pk")[:number]:
        change = SyncChange.objects.create(
            run=run,
            tenant=person.tenant,
            kind="participants",
            action="update",
            subject_id=person.pk,
            subject_scaikey_id=person.scaikey_id or "",
            subject_name=person.display_name,
            fields="email,display_name",
            reason_code="changed",
        )
        values = {"email": ["old@example.com", person.email], "display_name": ["", str(person)]}
        SyncChangeValues.objects.create(change=change, values=values)


def make_times(at: datetime) -> dict[str, datetime]:
    return {"created_at": at, "updated_at": at}
