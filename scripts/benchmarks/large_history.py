"""Add rows of other lists of the admin site to a server that `large_server` has filled.

A process of its own: `python -m scripts.benchmarks.large_history`, with the environment of the
server. The numbers of rows follow from the tenants: a month of syncs, a year of AI tokens, a file
in each room, and a room and a role with a grant in each tenant.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from scripts.benchmarks.large_server import create_rows

RUN_INTERVAL = timedelta(minutes=10)
DAYS_OF_RUNS = 30
CHANGES_OF_RUN = 20
MONTHS_OF_USAGE = 12
DAYS_OF_FIGURES = 90
SKIPPED = 500


def add_history(now: datetime) -> None:
    """Write all rows in one transaction, and update the statistics of the database."""
    from django.db import connection, transaction

    from tenants.models import Tenant

    with transaction.atomic():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
        Tenant.objects.update(max_rooms=100, max_storage_mb=1000, max_ai_tokens_month=1_000_000)
        _add_runs(tenant_ids, now)
        _add_usage(tenant_ids, now)
        _add_roles(tenant_ids, now)
        _add_rooms(now)
        _add_files(now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _add_runs(tenant_ids: list[UUID], now: datetime) -> None:
    from identity_sync.models import SyncChange, SyncRun, SyncSkip

    counts = {"participants": {"seen": 1000, "added": CHANGES_OF_RUN}}
    runs = [
        SyncRun(
            operator="scheduler",
            trigger="cron",
            outcome="failed" if number % 100 == 99 else "applied",
            started_at=now - RUN_INTERVAL * number,
            ended_at=now - RUN_INTERVAL * number + timedelta(seconds=40),
            duration_seconds=40.0,
            counts=counts,
        )
        for number in range(1, timedelta(days=DAYS_OF_RUNS) // RUN_INTERVAL)
    ]
    create_rows(SyncRun, runs)
    create_rows(
        SyncChange,
        (
            SyncChange(
                run=run,
                tenant_id=tenant_ids[number % len(tenant_ids)],
                kind="participants",
                action="added",
                subject_id=run.pk,
                reason_code="added",
            )
            for number, run in enumerate(runs)
            for _ in range(CHANGES_OF_RUN)
        ),
    )
    create_rows(
        SyncSkip,
        (
            SyncSkip(
                tenant_id=tenant_ids[number % len(tenant_ids)],
                kind="participants",
                subject_scaikey_id=f"skipped-{number}",
                reason_code="over_limit",
                first_skipped_at=now,
                last_skipped_at=now,
            )
            for number in range(SKIPPED)
        ),
    )


def _add_usage(tenant_ids: list[UUID], now: datetime) -> None:
    from tenants.models import DailyFigures, TokenUsage

    create_rows(
        TokenUsage,
        (
            TokenUsage(
                tenant_id=tenant_id,
                month=_get_month(now.date(), ago),
                total_tokens=(number * 7919 + ago) % 1_100_000,
                fetched_at=now,
            )
            for ago in range(MONTHS_OF_USAGE)
            for number, tenant_id in enumerate(tenant_ids)
        ),
    )
    DailyFigures.objects.bulk_create(
        DailyFigures(
            day=now.date() - timedelta(days=ago),
            recorded_at=now,
            tenants=len(tenant_ids),
            members=10_000 - ago,
            rooms=1000 - ago,
            storage_bytes=10**12 - ago * 10**9,
        )
        for ago in range(DAYS_OF_FIGURES)
    )


def _get_month(day: date, ago: int) -> date:
    months = day.year * 12 + day.month - 1 - ago
    return date(months // 12, months % 12 + 1, 1)


def _add_roles(tenant_ids: list[UUID], now: datetime) -> None:
    from tenants.models import Group, Role, RoleGrant

    roles = [
        Role(tenant_id=tenant_id, slug="moderator", name="Moderator", created_at=now)
        for tenant_id in tenant_ids
    ]
    create_rows(Role, roles)
    groups = dict(Group.objects.values_list("tenant_id", "pk"))
    create_rows(
        RoleGrant,
        (
            RoleGrant(
                tenant_id=role.tenant_id,
                role=role,
                group_id=groups[role.tenant_id],
                granted_by="maria",
                created_at=now,
            )
            for role in roles
            if role.tenant_id in groups
        ),
    )


def _add_rooms(now: datetime) -> None:
    """Give each tenant with people a room, so that the database does not expect all in one."""
    from rooms.models import Room, Workspace
    from tenants.models import Participant

    stamps = {"created_at": now, "updated_at": now}
    creators = dict(Participant.objects.values_list("tenant_id", "pk"))
    workspaces = {
        tenant_id: Workspace(tenant_id=tenant_id, slug="first", name="First", **stamps)
        for tenant_id in creators
    }
    create_rows(Workspace, workspaces.values())
    create_rows(
        Room,
        (
            Room(
                tenant_id=tenant_id,
                workspace=workspaces[tenant_id],
                creator_id=creator_id,
                name="Lobby",
                **stamps,
            )
            for tenant_id, creator_id in creators.items()
        ),
    )


def _add_files(now: datetime) -> None:
    from rooms.models import Media, Room, RoomMedia

    def build(room_id: UUID, tenant_id: UUID, number: int) -> tuple[Any, Any]:
        media = Media(
            tenant_id=tenant_id,
            sha256=f"{number:064x}",
            size=100_000 + number,
            mime_type="image/png",
            scan_status="clean",
            created_at=now,
        )
        room_media = RoomMedia(
            tenant_id=tenant_id, room_id=room_id, media=media, name="photo.png", created_at=now
        )
        return media, room_media

    rooms = Room.objects.values_list("pk", "tenant_id").order_by("pk")
    pairs = (build(*room, number) for number, room in enumerate(rooms.iterator()))
    while batch := list(islice(pairs, 5000)):
        Media.objects.bulk_create(media for media, _ in batch)
        RoomMedia.objects.bulk_create(room_media for _, room_media in batch)


def main() -> None:
    import django
    from django.utils import timezone

    django.setup()
    add_history(timezone.now())


if __name__ == "__main__":
    main()
