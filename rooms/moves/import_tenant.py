"""Import a tenant from the export of another server; continue or follow such an import.

Everything about the directory is checked first. Then the tenant is created, or an empty one taken,
suspended, and its tables are written, in one transaction; each bundle of a room in one, and in the
last one the members of the rooms. The tenant stays suspended until it is imported from an export
that was frozen, or opened on request. A dry run writes the tables and the members in one
transaction, which it rolls back, and checks the bundles as the import does.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import CharField, Expression, Model, Q, QuerySet, Value
from django.db.models.functions import Cast

from rooms.errors import (
    NOTHING_IMPORTED,
    TenantExportDamaged,
    TenantImportPeople,
    TenantImportRefused,
    TenantImportRunning,
)
from rooms.imports.import_room import build_origin
from rooms.imports.intents import clean_up_abandoned
from rooms.imports.verify_bundle import load_keys
from rooms.models import Media, Room, TenantImport, Workspace
from rooms.moves.import_rooms import RoomsDestination, delete_rooms, import_moved_room
from rooms.moves.index import INDEX, open_export
from rooms.moves.mapping import (
    PeopleMap,
    PeopleOptions,
    TenantMapping,
    check_identity,
    find_server_grants,
    map_people,
    record_people,
)
from rooms.moves.rows import ROOM_COLUMNS, ExportedRows, RowTable, load_tables
from scaiwave.config.server_name import normalize_server_name
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.locks import process_lock
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.core.sql import batched
from scaiwave.ids import new_id
from tenants.audit.record import record_audit
from tenants.holds.queries import block_new_holds, require_tenant_not_held
from tenants.lookup.resolve import resolve_partner
from tenants.lookup.validators import validate_role_slug, validate_slug
from tenants.models import Group, Participant, Partner, Tenant
from tenants.models.directory import FOUND_HERE
from tenants.people.create_tenant import build_scaikey_id_conflict
from tenants.people.partner_capacity import ensure_partner_has_room, lock_partner
from tenants.people.tenant_limits import MAX_LIMITS, limit_warnings
from tenants.roles.lookalikes import reject_lookalikes
from tenants.roles.queries.roles import BUILT_IN, SERVER_ROLES
from tenants.roles.queries.super_admins import find_super_admin_holders

LOCAL_COLUMNS = {"id", "slug", "partner_id", "suspended_by_hand_at"}
"""Columns of the tenant that belong to this server."""
_LOCAL_ONCE_WRITTEN = {
    *("scaikey_tenant_id", "scaikey_status", "absent_since", "features", "sync_removals"),
    *MAX_LIMITS,
}
"""Columns that only the first export decides."""
_OPEN = "It is open."
_UNFINISHED = "Tenant {} is suspended and incomplete. Run the same command again{}."
_STILL_SUSPENDED = "It was suspended manually, and still is."
_TO_OPEN = "import an export that was frozen, or pass --open."
_PHASED = ("tenant", "rooms", "room-members")
"""Tables that are not written with the others."""
_FREE_VALUES: Mapping[str, Mapping[str, Expression]] = {
    "workspaces": {"slug": Cast("pk", CharField())},
    "rooms": {"room_alias": Value("")},
}
"""Values that no two rows of a table share, for names that must be unique."""


@dataclass(frozen=True)
class ImportTenantOptions:
    """`opens` opens the tenant though people could write while it was exported."""

    directory: Path
    slug: str
    people: PeopleOptions
    partner: str | None
    key: str | None
    descriptor: Path | None
    opens: bool
    max_bytes: int
    clock: Callable[[], datetime]
    progress_factory: ProgressFactory = null_progress_factory


def _plan(export: ExportedRows, slug: str, people: PeopleMap, tenant: Tenant | None) -> Report:
    """Return the result of an import that changes nothing, or that people are refused from."""
    index, settings = export.index, vars(tenant) if tenant else export.tenant
    figures = {
        "tenant": slug,
        "id": tenant.pk if tenant else None,
        "scaikey_tenant_id": settings["scaikey_tenant_id"],
        "sync_removals": settings["sync_removals"],
        "people_mapped": len(people.mapped),
        "people_placeholders": people.placeholders,
        "people_refused": len(people.refused),
        "rooms": len(index.exported),
        "rooms_not_exported": len(index.not_exported),
        "events": sum(room.events for room in index.exported),
        "bundles": 0,
        "opened": False,
    }
    sentence = f"This export was already imported as tenant {slug}; nothing changed."
    plan = Report(figures, sentence, {"refused": people.refused}, changed=False)
    if not people.refused:
        return plan
    first, count = people.refused[0], pluralize(len(people.refused), "person", "people")
    error = TenantImportPeople(
        f"{count} of the export can't be imported, first {first['fqid']}: {first['reason']}."
    )
    return replace(plan, sentence=NOTHING_IMPORTED, error=error)


def import_tenant(
    *, operator: Operator, options: ImportTenantOptions, dry_run: bool = False
) -> Report:
    """Import the tenant under this slug, or the changes since the last import.

    A dry run refuses the same, and lists the refused people. Raises `TenantExportDamaged`,
    `TenantExportUntrusted`, `TenantImportRefused`, `TenantImportPeople`, `TenantImportRunning`,
    `TenantConflict`, `RoleBuiltIn`, `OnHold`, `InvalidSlug`, `InvalidRoleSlug`, `PartnerNotFound`,
    `PartnerFull`, `BundleError` and `DiskFull`.
    """
    # 1. Verify the signature, every file and every row.
    operator.require(Permission.MANAGE_PLATFORM)
    validate_slug(options.slug)
    keys = load_keys(operator, options.key, options.descriptor)
    tables = load_tables()
    index, signer = open_export(options.directory, keys, tables, options.progress_factory)
    export = ExportedRows(options.directory, index, tables)
    export.check()
    for role in export.iter_rows(tables["roles"]):
        if role["slug"] not in BUILT_IN:
            reject_lookalikes(slug=role["slug"], name=role["name"], tenant=options.slug)
            validate_role_slug(role["slug"])
    with lock_import(options.slug):
        # 2. Find the tenant, or check that it can be created; find its people.
        tenant, record = _find_target(operator, export, options)
        partner = resolve_partner(operator, options.partner) if options.partner else None
        if tenant is None:
            ensure_partner_has_room(partner)
        people = map_people(export, options.people, tenant, record.people if record else {})
        plan = _plan(export, options.slug, people, tenant)
        if plan.error or (record and record.finished_at):
            return replace(plan, figures=plan.figures | {"opened": plan.error is None})
        is_known = record is not None and record.index_sha256 == _hash_index(options.directory)
        suspended = "suspended again" if record else "suspended"
        if tenant is None or index.frozen or options.opens or tenant.suspended_by_hand_at:
            suspended = ""
        # Later, this server may have decided about people of the import: --abort is refused then.
        unfinished = _UNFINISHED.format(options.slug, "" if record else ", or pass --abort")
        trust = f"The export is signed by {signer}. To verify the name, pass --descriptor."
        warnings = [trust] if signer != index.server_name else []
        # 3. Write the tables, or nothing if they are refused. Then the rooms.
        run = _Import(operator, export, options, people, dry_run, warnings)
        if not dry_run:
            clean_up_abandoned(options.clock())
        with _explain(NOTHING_IMPORTED):
            record, mapping = run.write_tables(record, tenant, partner)
        with _explain(NOTHING_IMPORTED if dry_run else unfinished):
            run.write_rooms(record, mapping)
        if is_known and not (record.finished_at or run.bundles or suspended):
            return plan
        key = plan.figures["id"] if dry_run else record.tenant_id
        return replace(
            plan,
            figures=plan.figures | {"id": key, "bundles": run.bundles, "opened": run.opened},
            sentence=run.describe(record, suspended),
            warnings=run.warnings,
            changed=True,
        )


@contextmanager
def lock_import(slug: str) -> Iterator[None]:
    with process_lock(f"import-tenant-{slug}") as acquired:
        if not acquired:
            raise TenantImportRunning(f"Another import of tenant {slug} is in progress.")
        yield


@contextmanager
def _explain(state: str) -> Iterator[None]:
    """Add the state of the tenant, and the way on, to the fix of an error."""
    try:
        yield
    except IntegrityError as error:
        raise TenantExportDamaged(
            "Rows of the export contradict each other, or rows of this server: "
            f"{str(error).splitlines()[0]}.",
            fix=f"Get the directory again. {state}",
        ) from error
    except ScaiWaveError as error:
        error.fix = f"{getattr(error, 'advice', error.fix)} {state}"
        raise


def _hash_index(directory: Path) -> str:
    return hashlib.sha256((directory / INDEX).read_bytes()).hexdigest()


def _find_target(
    operator: Operator, export: ExportedRows, options: ImportTenantOptions
) -> tuple[Tenant | None, TenantImport | None]:
    """Return the tenant of this slug, and its import. Raises `TenantImportRefused`."""
    tenant = Tenant.objects.filter(slug=options.slug).first()
    index, slug = export.index, options.slug
    if tenant is None:
        scaikey_id = export.tenant["scaikey_tenant_id"]
        other = Tenant.objects.filter(scaikey_tenant_id=scaikey_id).first()
        if scaikey_id is not None and other is not None:
            raise build_scaikey_id_conflict(operator, other)
        return None, None
    record = TenantImport.objects.filter(tenant=tenant).first()
    if record is None:
        content = (Workspace._base_manager, Room._base_manager, Media._base_manager)
        if any(rows.filter(tenant=tenant).exists() for rows in content):
            raise TenantImportRefused(
                f"Tenant {slug} exists and has workspaces, rooms or attachments.",
                fix="Nothing was imported. Pass another slug, or an empty tenant's.",
            )
        return tenant, None
    exported_at = datetime.fromisoformat(index.begun_at)
    servers = set(map(normalize_server_name, (index.server_name, record.source_server_name)))
    if str(record.source_tenant_id) != index.tenant.id:
        problem = "was imported from another tenant"
    elif len(servers) > 1:
        problem = f"was imported from {record.source_server_name}, not {index.server_name}"
    elif record.finished_at and record.index_sha256 != _hash_index(options.directory):
        problem = "is open already, so nothing can be added to it"
    elif record.exported_at and record.exported_at > exported_at:
        problem = f"was imported from a later export, of {record.exported_at:%Y-%m-%d %H:%M:%S}"
    else:
        return tenant, record
    raise TenantImportRefused(
        f"Tenant {slug} {problem}.", fix="Nothing was imported. Name the right slug and directory."
    )


@dataclass
class _Import:
    operator: Operator
    export: ExportedRows
    options: ImportTenantOptions
    people: PeopleMap
    dry_run: bool
    warnings: list[str] = field(default_factory=list)
    bundles: int = 0
    opened: bool = False

    @transaction.atomic(durable=True)
    def write_tables(
        self, record: TenantImport | None, tenant: Tenant | None, partner: Partner | None
    ) -> tuple[TenantImport, TenantMapping]:
        """Write all but the rooms and their members, and suspend the tenant. Delete what the export
        lacks. Raises `TenantImportRefused` and `OnHold`: then nothing has changed. A dry run also
        writes empty rooms and their members, and takes all back."""
        block_new_holds()
        record = record or self._begin(tenant, partner)
        mapping = build_mapping(self.export, record, self.people)
        if count := len(mapping.left_out):
            self.warnings.append(
                f"{pluralize(count, 'grant')} of {' or '.join(SERVER_ROLES)} won't be imported, "
                "since these roles are about other tenants too. Grant them here with `scaiwave "
                "role grant`."
            )
        check_identity(self.export, mapping, find_stale(self.export, mapping, "people"))
        require_tenant_not_held(record.tenant, f"import into tenant {record.tenant.slug}")
        # One that was suspended before stays so at the end. Someone may have resumed it since.
        resumed = Tenant.objects.filter(pk=record.tenant_id, suspended_by_hand_at=None)
        resumed.update(suspended_by_hand_at=record.started_at)
        find_holders = partial(find_super_admin_holders, roles=SERVER_ROLES, with_absent=True)
        holders = find_holders()
        self._delete_rooms(record, mapping)
        self._write_rows(record, mapping)
        if gained := find_holders() - holders:
            raise TenantImportRefused(
                f"{pluralize(len(gained), 'person', 'people')} would get "
                f"{' or '.join(SERVER_ROLES)} by a group of this server, first {min(gained)}.",
                fix="Revoke the role of the group with `scaiwave role revoke`, and import again.",
            )
        if self.dry_run:
            _write_table(self.export, mapping, self.export.tables["rooms"])
            self._finish(record, mapping)
            tables = self.export.tables.values()
            connection.check_constraints([table.model._meta.db_table for table in tables])
            transaction.set_rollback(True)
        return record, mapping

    def _begin(self, tenant: Tenant | None, partner: Partner | None) -> TenantImport:
        """Create the tenant, unless it exists, and record that it is being imported."""
        index, now = self.export.index, self.options.clock()
        is_new = tenant is None
        lock_partner(partner)
        if tenant is None:
            ensure_partner_has_room(partner)
            local = {"slug": self.options.slug, "partner_id": partner.pk if partner else None}
            local |= {"id": new_id(), "suspended_by_hand_at": None}
            tenant = Tenant.objects.create(**self.export.tenant | local)
        source = {"from_tenant": index.tenant.id, "from_server": index.server_name}
        details = {**source, "key_id": index.key_id}
        record_audit(self.operator, "import-tenant", tenant, now, details, tenant=tenant)
        return TenantImport.objects.create(
            tenant=tenant,
            source_tenant_id=index.tenant.id,
            source_server_name=index.server_name,
            is_new=is_new,
            operator=self.operator.name,
            started_at=now,
        )

    def _delete_rooms(self, record: TenantImport, mapping: TenantMapping) -> None:
        """Delete rooms that the export lacks, and rooms deleted here, which come back."""
        stale = set(find_stale(self.export, mapping, "rooms"))
        # A purge may have deleted some of their events.
        hidden = Room.all_objects.filter(tenant=record.tenant).exclude(deleted_at=None)
        if deleted := sorted(set(hidden.values_list("pk", flat=True)) - stale):
            self.warnings.append(
                f"{pluralize(len(deleted), 'room')} deleted here and imported again, first "
                f"{deleted[0]}. To leave a room out, delete it on the old server."
            )
        delete_rooms(record, [*stale, *deleted])

    def write_rooms(self, record: TenantImport, mapping: TenantMapping) -> None:
        """Write the rooms, and their members; open the tenant. A dry run checks the bundles."""
        export, options = self.export, self.options
        to = RoomsDestination(
            self.operator,
            record.tenant,
            now := options.clock(),
            options.progress_factory,
            record,
            mapping,
            {str(key): str(mapping(key)) for key in export.people},
            export.index.server_name,
            build_origin(export.index.key_id, now),
            options.max_bytes,
            self.dry_run,
        )
        entries = {mapping(UUID(entry.id)): entry for entry in export.index.exported}
        for row in mapping.iter_rows(export, export.tables["rooms"]):
            entry = entries[row["id"]]
            paths = export.index.bundle_paths(options.directory, entry)
            self.bundles += import_moved_room(to, entry, row, paths)
        if not self.dry_run:
            with transaction.atomic(durable=True):
                self._finish(record, mapping)

    def describe(self, record: TenantImport, suspended: str) -> str:
        rooms = pluralize(len(self.export.index.exported), "room")
        what = f"tenant {self.options.slug} with {rooms}."
        if self.dry_run:
            effect = f" It would be {suspended}." if suspended else ""
            return f"Would import {what}{effect} No changes were made."
        if record.finished_at:
            return f"Imported {what} {_OPEN if self.opened else _STILL_SUSPENDED}"
        state = f"was {suspended}" if suspended else "stays suspended"
        return f"Imported {what} It {state}: {_TO_OPEN}"

    def _write_rows(self, record: TenantImport, mapping: TenantMapping) -> None:
        export = self.export
        if record.is_new:
            columns = export.tenant.keys() - LOCAL_COLUMNS - _LOCAL_ONCE_WRITTEN
            values = {column: export.tenant[column] for column in columns}
            Tenant.objects.filter(pk=record.tenant_id).update(**values)
        others = [table for name, table in export.tables.items() if name not in _PHASED]
        for table in reversed(others):
            _delete_stale(export, mapping, table)
        for table in others:
            _write_table(export, mapping, table)
        # A room that is not imported yet is written with its first bundle.
        rooms = set(Room.all_objects.filter(tenant=record.tenant).values_list("pk", flat=True))
        _write_table(export, mapping, export.tables["rooms"], only=rooms)

    def _finish(self, record: TenantImport, mapping: TenantMapping) -> None:
        now, index = self.options.clock(), self.export.index
        _delete_stale(self.export, mapping, self.export.tables["room-members"])
        _write_table(self.export, mapping, self.export.tables["room-members"])
        if index.frozen or self.options.opens:
            opened = select_suspended(record).update(suspended_by_hand_at=None, updated_at=now)
            self.opened, record.finished_at = bool(opened), now
        record.exported_at = datetime.fromisoformat(index.begun_at)
        record.index_sha256 = _hash_index(self.options.directory)
        record.save(update_fields=["finished_at", "exported_at", "index_sha256"])
        details = {
            "index_sha256": record.index_sha256,
            "rooms": len(index.exported),
            "rooms_not_exported": len(index.not_exported),
            "people_mapped": len(self.people.mapped),
            "people_placeholders": self.people.placeholders,
            "opened": self.opened,
        }
        tenant = record.tenant
        record_audit(self.operator, "import-tenant", tenant, now, details, tenant=tenant)
        limits = {name: getattr(tenant, name) for name in MAX_LIMITS}
        self.warnings += limit_warnings(self.operator, tenant, limits, now)


def build_mapping(
    export: ExportedRows, record: TenantImport, people: PeopleMap | None = None
) -> TenantMapping:
    """Return the mapping of an import; `people` may have found people who came later."""
    if people is not None:
        record_people(record, export, people)
    found = {UUID(old): UUID(new) for old, new in record.people.items() if old[0] not in "@#"}
    mapping = TenantMapping(
        record.tenant_id,
        record.started_at,
        found,
        left_out=find_server_grants(export),
        synced=frozenset(key for key, row in export.people.items() if row["scaikey_id"]),
        granted_by=f"import from {export.index.server_name}",
    )
    mapping.find_existing(export)
    return mapping


def find_stale(export: ExportedRows, mapping: TenantMapping, name: str) -> list[UUID]:
    """Return rows of an earlier import, or of the source itself, that the export does not have."""
    table = export.tables[name]
    rows = table.model._base_manager.filter(**{table.tenant: mapping.tenant_id})
    if name in ROOM_COLUMNS:
        others = [UUID(room.id) for room in export.index.not_exported]
        rows = rows.exclude(**{f"{ROOM_COLUMNS[name]}__in": others})
    present = {key for key in rows.values_list("pk", flat=True) if mapping.is_own(key)}
    if present:
        rows_left = (row["id"] for row in export.iter_rows(table))
        present -= {mapping(key) for key in rows_left if key not in mapping.left_out}
    return sorted(present)


def _delete_stale(export: ExportedRows, mapping: TenantMapping, table: RowTable) -> None:
    for part in batched(find_stale(export, mapping, table.name)):
        table.model._base_manager.filter(pk__in=part).delete()


def _write_table(
    export: ExportedRows, mapping: TenantMapping, table: RowTable, only: set[UUID] | None = None
) -> None:
    """Insert rows, or update the rows of an earlier import.

    People whom a sync found, or has removed since, and people who were purged here, stay as they
    are. Others stay suspended, and their messages erased.
    """
    model: type[Model] = table.model
    claimed: set[UUID] = set()
    decided: dict[UUID, dict[str, datetime]] = defaultdict(dict)
    if model in (Participant, Group):
        found = FOUND_HERE if model is Participant else Q(absent_since=None)
        present = model._base_manager.filter(found, tenant_id=mapping.tenant_id)
        claimed = set(present.exclude(scaikey_id=None).values_list("pk", flat=True))
    if model is Participant:
        people = Participant.objects.filter(tenant_id=mapping.tenant_id)
        claimed |= set(people.exclude(purged_at=None).values_list("pk", flat=True))
        for name in ("suspended_by_hand_at", "messages_erased_at"):
            for key, at in people.exclude(**{name: None}).values_list("pk", name):
                decided[key][name] = at
    rows = (
        row | {name: max(at, row[name] or at) for name, at in decided[row["id"]].items()}
        for row in mapping.iter_rows(export, table)
        if row["id"] not in claimed and (only is None or row["id"] in only)
    )
    if free := _FREE_VALUES.get(table.name):
        # A name may have moved from one row to another since.
        own = (row["id"] for row in export.iter_rows(table) if row["id"] not in mapping.existing)
        for keys in batched(map(mapping, own)):
            model._base_manager.filter(pk__in=keys, tenant=mapping.tenant_id).update(**free)
    columns = [field.name for field in model._meta.concrete_fields if not field.primary_key]
    for part in batched(rows):
        model._base_manager.bulk_create(
            [model(**row) for row in part],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=columns,
        )


def select_suspended(record: TenantImport) -> QuerySet[Tenant]:
    """Return the tenant if the import has suspended it, and it was not suspended before."""
    return Tenant.objects.filter(pk=record.tenant_id, suspended_by_hand_at=record.started_at)
