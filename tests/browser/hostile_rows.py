"""Rows with hostile names, rows that offer acts, and jobs in each state."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from uuid import uuid4

from django.conf import settings
from redis import Redis
from rq.utils import utcformat

from identity_sync.models import (
    PendingRemoval,
    SyncRun,
    SyncSkip,
)
from rooms.models import RoomMedia
from tenants.models import (
    AdminUser,
    AuditEntry,
    Group,
    Role,
    TenantErasure,
)
from tests.browser.sample_runs import (
    DAY,
    make_run,
    make_times,
)
from tests.queue_helpers import SYNC, plant_call, plant_failed, plant_job, plant_worker
from tests.scaiwave.row_factories import (
    make_event,
    make_media,
    make_participant,
    make_partner,
    make_policy,
    make_room,
    make_tenant,
    make_workspace,
)

HOSTILE = (
    "<script>alert(document.cookie)</script>",
    '"><img src=x onerror=alert(1)>',
    "Donaudampfschifffahrtsgesellschaftskapitän" * 6,
    "شركة الاتصالات الحديثة للتجارة والمقاولات",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnitirw desrever\N{POP DIRECTIONAL FORMATTING}",
    "W" * 128,  # the last, so that pages of rows show it
)


def add_hostile_rows(now: datetime) -> None:
    """Create rows with markup, very long words and text in other directions."""
    for number, text in zip(count(1), HOSTILE, strict=False):
        slug = f"hostile{number}{'long' * 30}"
        partner = make_partner(slug, name=text)
        tenant = make_tenant(slug, name=text, partner=partner)
        person = make_participant(tenant, f"person{number}{'long' * 20}", display_name=text)
        Group.objects.create(tenant=tenant, name=text, **make_times(now))
        Role.objects.create(tenant=tenant, slug=text[:200], name=text, created_at=now)
        room = make_room(make_workspace(tenant, name=text), person, text, topic=text)
        make_event(room, 1, content={"msgtype": "swp.text", "body": text})
        media = make_media(tenant)
        RoomMedia.objects.create(
            tenant=tenant, room=room, media=media, name=text[:255], created_at=now
        )
        AuditEntry.objects.create(
            at=now,
            operator=text,
            operator_role="host",
            action="suspend-tenant",
            tenant_id=str(tenant.pk),
            tenant_slug=tenant.slug,
            subject_type="tenant",
            subject_id=str(tenant.pk),
            subject_name=text,
            details={"reason": text},
        )
        run = make_run(now - timedelta(seconds=number), 1000 + number)
        SyncRun.objects.filter(pk=run.pk).update(
            outcome="failed", error_code="SW_DATABASE", error_message=text, error_fix=text
        )
        SyncSkip.objects.create(
            tenant=tenant,
            kind="participants",
            subject_scaikey_id=text,
            subject_name=text,
            detail=text[:255],
            first_skipped_at=now,
            last_skipped_at=now,
        )


def add_rows_that_offer_acts(now: datetime) -> None:
    """Create rows in the states in which the acts are offered that nothing else needs."""
    make_partner("paused", suspended_by_hand_at=now)
    tenant = make_tenant("kept", scaikey_tenant_id="tnt_kept", sync_removals=False)
    AdminUser.objects.create_user("former", is_active=False)
    PendingRemoval.objects.create(
        tenant=tenant,
        kind="participants",
        subject_id=uuid4(),
        subject_scaikey_id="usr_kept",
        subject_name="Kept Person",
        loss="removed",
        cause="removed",
        limit_code="tenant",
        first_seen_at=now,
        last_seen_at=now,
    )
    deleted = make_room(
        make_workspace(tenant),
        make_participant(tenant),
        "Deleted room",
        state="archived",
        deleted_at=now,
        purge_at=now + 7 * DAY,
        deletion={"reason": "over"},
    )
    make_policy(deleted, of_tenant=True)
    erasure = {"begun_at": now, "before": {"rooms.Room": 12}}
    TenantErasure.objects.create(
        tenant_id=uuid4(), finished_at=now, certificate={"version": 1}, phase="done", **erasure
    )
    error = {"code": "SW_TENANT_ROWS_LEFT", "message": "Something is left.", "fix": "Continue."}
    TenantErasure.objects.create(tenant_id=uuid4(), error=error, **erasure)


def add_jobs(now: datetime) -> None:
    """Plant workers, and jobs in each state, also such as only an attacker leaves."""
    redis = Redis.from_url(settings.REDIS_URL)
    for number in range(2):
        plant_failed(redis, f"full_sync-{number}", "The process of the job ended by signal 9.")
    plant_failed(redis, "full_sync-hostile", " ".join(HOSTILE))
    plant_job(redis, "pickled", b"\x80")
    redis.rpush("rq:queue:default", *HOSTILE)
    for number in range(40):
        plant_call(redis, f"full_sync-17956081{number}", SYNC, enqueued_at=utcformat(now))
    plant_call(redis, "running", SYNC, worker_name="busy", started_at=utcformat(now), attempts="2")
    redis.lrem("rq:queue:default", 0, "running")
    redis.zadd("rq:wip:default", {"running:execution": now.timestamp() + DAY.total_seconds()})
    later = utcformat(now + DAY)
    plant_worker(redis, "busy", state="busy", last_heartbeat=later)
    plant_worker(redis, "3f9a1c", last_heartbeat=utcformat(now - timedelta(minutes=2)))
    plant_worker(redis, HOSTILE[0], hostname=HOSTILE[2], state=HOSTILE[1])
    redis.hdel(f"rq:worker:{HOSTILE[0]}", "scaiwave")
