"""Delete what the import of a tenant has brought, before it is open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, cast

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, QuerySet

from rooms.errors import TenantImportRefused
from rooms.lifecycle.deletion import open_deletion
from rooms.models import Event, Media, Room, RoomImport, TenantImport, Workspace
from rooms.models.media import get_storage_name
from rooms.moves.import_rooms import note_emptied
from rooms.moves.import_tenant import lock_import, select_suspended
from rooms.moves.mapping import DERIVED, is_derived
from rooms.moves.rows import iter_tables, require_unreferenced
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.storage.media import MediaStore
from tenants.audit.record import record_audit
from tenants.holds.queries import require_tenant_not_held
from tenants.models import Participant, Tenant

_KEPT = ("RetentionPolicy", "TenantImport", "TenantTask", "SearchBackfill", "SearchRange")
_OPEN_IT = (
    "Nothing was deleted. Open the tenant with `scaiwave admin import-tenant` --open; what it has "
    "then is deleted with `scaiwave admin erase-tenant`."
)


def abort_tenant_import(
    *, operator: Operator, slug: str, now: datetime, dry_run: bool = False
) -> Report:
    """Delete a tenant that was imported and is not open yet. Raises `TenantImportRefused`,
    `TenantReferenced`, `OnHold`, and what `open_deletion` raises."""
    operator.require(Permission.MANAGE_PLATFORM)
    with lock_import(slug):
        record = TenantImport.objects.filter(tenant__slug=slug, finished_at=None).first()
        if record is None:
            raise TenantImportRefused(
                f"No import of tenant {slug} is unfinished.",
                fix="`scaiwave admin list-tenants` lists the tenants. An open one is not deleted.",
            )
        tenant = record.tenant
        _require_no_own(tenant)
        _require_undecided(record)
        check = partial(require_tenant_not_held, tenant, f"delete the import of tenant {slug}")
        check()
        require_unreferenced(tenant)
        rooms = Room.all_objects.filter(tenant=tenant)
        events = Event.objects.filter(tenant=tenant)
        figures = {"tenant": slug, "rooms": rooms.count(), "events": events.count()}
        if not dry_run:
            with open_deletion(operator, now) as deletion:
                with deletion.transaction():
                    note_emptied(record, events)
                sum(deletion.delete_rows(_iter_rows(record), check))
                deletion.forget_words()
                deletion.index.remove_tenant(tenant.pk)
            # An import that follows an interrupted abort stores the files again.
            cast(MediaStore, default_storage).erase_below(get_storage_name(tenant.pk, ""))
            with transaction.atomic():
                record.delete()
                if record.is_new:
                    tenant.delete()
                else:
                    select_suspended(record).update(suspended_by_hand_at=None)
                details = {"from_tenant": str(record.source_tenant_id)}
                record_audit(operator, "import-tenant --abort", tenant, now, details, tenant=tenant)
        verb = "Would delete" if dry_run else "Deleted"
        return Report(figures, f"{verb} the import of tenant {slug}.", changed=True)


def _require_no_own(tenant: Tenant) -> None:
    """Raises `TenantImportRefused` for a workspace, room, attachment or event made here."""
    models = {"workspace": Workspace, "room": Room, "attachment": Media, "event": Event}
    for kind, model in models.items():
        own = model._base_manager.filter(tenant=tenant).exclude(DERIVED).order_by("pk")
        if count := own.count():
            raise TenantImportRefused(
                f"Tenant {tenant} has {pluralize(count, kind)} that the import did not bring, "
                f"first {own[0].pk}.",
                fix=_OPEN_IT,
            )


def _require_undecided(record: TenantImport) -> None:
    """Raises `TenantImportRefused` for a person about whom this server has decided since."""
    columns = ("purged_at__gt", "messages_erased_at__gt", "suspended_by_hand_at__gt")
    since = Q(*((column, record.started_at) for column in columns), _connector=Q.OR)
    people = Participant.objects.filter(since, tenant=record.tenant_id)
    found, keys = set(record.people.values()), people.values_list("pk", flat=True)
    if decided := sorted(key for key in keys if is_derived(key) or str(key) in found):
        raise TenantImportRefused(
            f"This server has suspended or purged {pluralize(len(decided), 'person', 'people')} of "
            f"the import of tenant {record.tenant}, or erased their messages, first {decided[0]}. "
            "Another import would undo that.",
            fix=_OPEN_IT,
        )


def _iter_rows(record: TenantImport) -> Iterator[QuerySet[Any]]:
    """Yield what an import has brought: each table before the tables that it refers to.

    First the records of rooms, so that an import after an interrupted abort writes them again.
    People, groups and roles that a tenant had before stay.
    """
    yield RoomImport.objects.filter(tenant=record.tenant)
    brought = Q() if record.is_new else Q(DERIVED)
    people = Participant._base_manager.filter(brought, tenant=record.tenant)
    of_directory = dict.fromkeys(("tenants.Role", "tenants.Group", "tenants.Participant"), brought)
    of_directory["tenants.RoleGrant"] = Q(DERIVED) | Q(participant__in=people)
    of_directory["tenants.GroupMembership"] = Q(DERIVED) | Q(member_participant__in=people)
    for name, select in iter_tables():
        if name in of_directory:
            yield select(record.tenant_id).filter(of_directory[name])
        elif name == "tenants.Hold" or (name.startswith("rooms.") and name[6:] not in _KEPT):
            yield select(record.tenant_id)
