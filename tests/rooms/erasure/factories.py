"""A tenant that may be erased, with a planted text in every place where there can be one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from identity_sync.models import SyncPlannedChange, SyncRun, SyncSkip, WebhookEvent
from rooms.erasure.erase_tenant import ErasureResult, erase_tenant, plan_erasure
from rooms.erasure.plan import ErasureOptions
from rooms.models import Event, Media, Room, RoomMedia, SearchBackfill
from rooms.search.base import EventRange
from rooms.search.database import SearchIndex
from rooms.search.scope import Scope
from scaiwave.console.progress import null_progress_factory
from scaiwave.ids import new_id
from tenants.models import (
    AdminUser,
    DoctorRun,
    Group,
    Hold,
    Notice,
    Participant,
    StoredOverview,
    Tenant,
)
from tests.rooms.moves.factories import MAX_BYTES, NOW, export, make_moving_tenant
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR

LATER = NOW + timedelta(days=30)
NOT_EXPORTED = 4
_seconds = count()


def clock() -> datetime:
    return LATER + timedelta(seconds=next(_seconds))


def make_closed_tenant(slug: str = "acme", events: int = 120) -> Tenant:
    tenant = make_moving_tenant(slug, events)
    Tenant.objects.filter(pk=tenant.pk).update(suspended_by_hand_at=NOW, absent_since=NOW)
    return Tenant.objects.get(pk=tenant.pk)


def options(directory: Path | None, **changes: Any) -> ErasureOptions:
    values = {
        "directory": directory,
        "not_exported": NOT_EXPORTED if directory else 0,
        "at_once": False,
        "max_bytes": MAX_BYTES,
        "clock": clock,
        "progress_factory": null_progress_factory,
    }
    return ErasureOptions(**values | changes)


def make_plan(tenant: Tenant, path: Path, **changes: Any) -> Path:
    directory = path / "export"
    if not directory.exists():
        export(tenant, directory, freeze=True)
    file = path / f"{tenant.slug}.plan"
    plan_erasure(
        operator=HOST_OPERATOR, tenant=tenant.slug,
        options=options(directory, reason="over", **changes), file=file,
    )  # fmt: skip
    return file


def erase(tenant: str, file: Path | None, proof: Path, **changes: Any) -> ErasureResult:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "options": options(None, reason="over", certificate=proof, **changes.pop("values", {})),
        "confirm": lambda effect, name: None,
        **changes,
    }
    return erase_tenant(tenant=tenant, file=file, **arguments)


class Planter:
    """Makes texts that can be found again, each with another number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, kind: str) -> str:
        self.texts.append(f"planted{len(self.texts):02}{kind}")
        return self.texts[-1]


def plant(tenant: Tenant, other: Tenant) -> list[str]:
    """Plant texts in rows of a tenant, and in rows of the server that mention it."""
    text = Planter()
    Tenant.objects.filter(pk=tenant.pk).update(
        name=text("name"), contact_email=text("contact"), scaikey_tenant_id=text("tnt"),
        features={"note": text("feature")},
    )  # fmt: skip
    for person in Participant.objects.filter(tenant=tenant, participant_type="human"):
        person.display_name, person.email = text("person"), text("email") + "@example.org"
        person.scaikey_id, person.avatar_url = text("usr"), text("avatar")
        person.save()
    for group in Group.objects.filter(tenant=tenant):
        group.name, group.scaikey_id = text("group"), text("grp")
        group.save()
    for room in Room.objects.filter(tenant=tenant):
        room.name, room.topic = text("room"), text("topic")
        room.save()
    event = Event.objects.filter(tenant=tenant, event_type="swp.room.message")[0]
    event.content = {"body": text("message")}
    event.save()
    SearchIndex().index(EventRange(Scope(), tenant.pk, 0, 10**9))
    for media in Media.objects.filter(tenant=tenant):
        default_storage.delete(media.storage_name)
        content = text("file").encode()
        media.sha256, media.size = sha256(content).hexdigest(), len(content)
        media.save()
        default_storage.save(media.storage_name, ContentFile(content))
    RoomMedia.objects.filter(tenant=tenant).update(name=text("attachment"))
    loose = row_factories.make_media(tenant, "loose")
    default_storage.save(loose.storage_name, ContentFile(text("loose").encode()))
    default_storage.save(f"tenant/{tenant.pk}/unknown", ContentFile(text("unknown").encode()))
    Hold.objects.create(
        tenant=tenant, reason=text("case"), placed_by="root", placed_at=NOW, lifted_at=NOW
    )
    people = Participant.objects.filter(tenant=tenant, participant_type="human").order_by("pk")
    person, name = people[0], text.texts[0]
    AdminUser.objects.create(
        username=text("account"), scaikey_id=person.scaikey_id, email=text("mail")
    )
    DoctorRun.objects.create(
        ran_at=NOW, operator="root", is_healthy=True, findings=[{"message": f"{name} is full"}]
    )
    overview = {"tasks": [f"See {tenant.slug}: {text('task')}"], "charts": []}
    StoredOverview.objects.create(built_at=NOW, document=overview)
    Notice.objects.create(topic="x", seen_at=NOW, error=f"no mail about {tenant.slug} {name}")
    kept = f"tenant {other.slug} is well"
    run = SyncRun.objects.create(
        operator="root", started_at=NOW, outcome="applied",
        warnings=[kept, f"Skipped {tenant.slug}, {text('warning')}."],
        losses=[["people", str(tenant.pk), 3], ["people", str(other.pk), 4]],
        error_message=f"for {person.display_name} {text('error')}",
    )  # fmt: skip
    SyncPlannedChange.objects.create(
        run=run, tenant_slug=tenant.slug, kind="tenants", action="add", is_removal=False,
        subject_id=new_id(), subject_name=text("planned"),
    )  # fmt: skip
    skip = {"first_skipped_at": NOW, "last_skipped_at": NOW}
    SyncSkip.objects.create(
        kind="tenants", subject_scaikey_id=text.texts[2], subject_name=text("skip"), **skip
    )
    WebhookEvent.objects.create(
        event_id="e1", event_type=text("webhook"), scaikey_id=person.scaikey_id or "",
        received_at=NOW,
    )  # fmt: skip
    row = {"tenant_id": str(tenant.pk), "tenant": tenant.slug, "note": text("backfill")}
    SearchBackfill.objects.create(
        scope="all", operator="root", started_at=NOW, finished_at=NOW,
        outcome={"tenants": [row, {"tenant": other.slug, "tenant_id": str(other.pk)}]},
    )  # fmt: skip
    assert len(text.texts) >= 50
    return text.texts


def read_certificate(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document
