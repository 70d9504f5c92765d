"""The counts and preconditions of an erasure, and the plan file that keeps them.

Nothing is written but the plan file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Literal
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import F, Max
from msgspec import Struct

from federation.errors import NoSigningKey
from federation.keys.signing import own_keys
from rooms.bundle.chain_files import open_chain_files
from rooms.erasure.certificate import VerifiedIndex
from rooms.erasure.places import STORES
from rooms.errors import (
    ErasurePlanInvalid,
    TenantBusy,
    TenantExportOutdated,
    TenantInScaiKey,
    TenantNotSuspended,
)
from rooms.exports.export_room import load_signer
from rooms.lookup.holds import contains_held
from rooms.models import Event, ImportIntent, Room, SearchRange, TenantImport
from rooms.moves.index import INDEX, open_export
from rooms.moves.mapping import SameTenant
from rooms.moves.result import add_missing, find_missing_error
from rooms.moves.rows import ExportedRows, iter_tables, load_tables, require_unreferenced
from rooms.moves.verify_export import compare_rows, find_changes
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.clock import is_in_future
from scaiwave.core.errors import UsageError
from scaiwave.core.files import replace_file, translate_write_errors
from scaiwave.core.mentions import ErasedTenant, Mentions
from scaiwave.core.signed_files import SignedFileError, encode_sealed, read_signed_file
from scaiwave.extensions import SYNC_LOCK, TENANT_PLACES, TenantPlace
from scaiwave.ids import new_id
from tenants.errors import ParticipantOnHold
from tenants.holds.queries import require_tenant_not_held
from tenants.lookup.serializers import Row, get_server_name
from tenants.models import Group, Participant, Tenant
from tenants.models.directory import DELETED_NAME

MAX_AGE = timedelta(hours=24)
"""Older plans are refused, as plans of syncs are."""
_MAX_BYTES = 1024 * 1024
_PURPOSE = "rooms.erasure.plan"
_CHANGED_BY_SYNCS = ("absent_since", "scaikey_status", "updated_at")
"""Columns that change when a tenant that was exported is then removed from ScaiKey."""
Counts = dict[str, int]


@dataclass(frozen=True)
class ErasureOptions:
    """`directory` has the export, None for `--without-export`; `at_once` skips the waiting time.

    `certificate` is the file to write; no backup has the tenant from `backups_gone_by` on.
    """

    directory: Path | None
    not_exported: int
    at_once: bool
    max_bytes: int
    clock: Callable[[], datetime]
    progress_factory: ProgressFactory
    reason: str = ""
    certificate: Path = Path()
    missing_files: int = 0
    """How many files the export may lack."""
    backups_gone_by: date | None = None


class ErasurePlan(Struct, frozen=True):
    """`id` is also of the erasure. `last_position` is the position of the tenant's last event."""

    format: Literal["scaiwave-erasure-plan"]
    version: Literal[1]
    id: UUID
    created_at: datetime
    server_name: str
    tenant_id: UUID
    slug: str
    counts: Counts
    last_position: int
    directory: str
    export: VerifiedIndex | None
    not_exported: int
    at_once: bool

    def find_difference(self, now: ErasurePlan) -> str | None:
        """Name the difference, if there is one."""
        for place in sorted(self.counts.keys() | now.counts.keys()):
            before, after = self.counts.get(place, 0), now.counts.get(place, 0)
            if before != after:
                return f"{place} has {after:,} and not {before:,}"
        if self.last_position != now.last_position:
            return "someone has written a message"
        if self.export != now.export:
            return "the export is another one"
        return None


def build_plan(tenant: Tenant, options: ErasureOptions) -> ErasurePlan:
    """Check everything, and count. Raises what `require_erasable` and `_verify_export` raise."""
    now = options.clock()
    require_erasable(tenant, at_once=options.at_once, now=now)
    export = _verify_export(tenant, options.directory, options) if options.directory else None
    position = Event.objects.filter(tenant=tenant).aggregate(last=Max("stream_position"))["last"]
    return ErasurePlan(
        format="scaiwave-erasure-plan", version=1, id=new_id(), created_at=now,
        server_name=get_server_name(), tenant_id=tenant.pk, slug=tenant.slug,
        counts=count_all(describe_tenant(tenant.pk)), last_position=position or 0,
        directory=str(options.directory.absolute()) if options.directory else "", export=export,
        not_exported=options.not_exported if export else 0, at_once=options.at_once,
    )  # fmt: skip


def require_erasable(tenant: Tenant, *, at_once: bool, now: datetime) -> None:
    """Raises `TenantNotSuspended`, `TenantInScaiKey`, and what `require_idle` raises."""
    slug, since = tenant.slug, tenant.suspended_by_hand_at
    days = settings.CONFIG.get_int("SCAIWAVE_ERASE_AFTER_DAYS")
    if since is None:
        raise TenantNotSuspended(
            f"Tenant {slug} is not suspended manually.",
            fix=f"Run `scaiwave admin suspend-tenant {quote(slug)}`, then wait "
            f"{pluralize(days, 'day')}.",
        )
    if not at_once and now < (earliest := since + timedelta(days=days)):
        raise TenantNotSuspended(
            f"Tenant {slug} was suspended on {since:%Y-%m-%d}, less than {days} days ago.",
            fix=f"Wait until {earliest:%Y-%m-%d %H:%M} UTC, or pass --now with --reason.",
        )
    if tenant.scaikey_tenant_id and tenant.absent_since is None:
        raise TenantInScaiKey(
            f"Tenant {slug} is still linked to ScaiKey.",
            fix="Delete it in ScaiKey and run `scaiwave sync`, or unlink it: `scaiwave admin "
            f"unlink-tenant {quote(slug)}`.",
        )
    if load_signer(now) is None:
        raise NoSigningKey("This server has no signing key, so it can't sign the certificate.")
    require_idle(tenant)


def require_idle(tenant: Tenant) -> None:
    """Raises `OnHold`, `TenantBusy`, `TenantReferenced` and the error of the lock of syncs."""
    require_no_hold(tenant)
    if contains_held(Event.objects.filter(tenant=tenant)):
        raise ParticipantOnHold(
            f"Can't erase tenant {tenant.slug}: someone on hold has written in its rooms.",
        )
    if ImportIntent.objects.filter(tenant=tenant, is_deletion=False).exists():
        raise TenantBusy(
            f"An import into tenant {tenant.slug} is in progress, or was interrupted.",
            fix="Wait for its end. `scaiwave doctor` cleans up after an interrupted one.",
        )
    if TenantImport.objects.filter(tenant=tenant, finished_at=None).exists():
        raise TenantBusy(
            f"The import of tenant {tenant.slug} has not ended.",
            fix="Run it to its end, or end it with `scaiwave admin import-tenant --abort`.",
        )
    ranges = SearchRange.objects.filter(tenant=tenant, backfill__finished_at=None)
    if ranges.filter(done_through__lt=F("last")).exists():
        raise TenantBusy(
            f"A backfill of the search index has not ended for tenant {tenant.slug}.",
            fix="Run `scaiwave room search-index` to its end.",
        )
    require_unreferenced(tenant)
    with SYNC_LOCK.load()():
        pass


def require_no_hold(tenant: Tenant) -> None:
    """Raises `OnHold`."""
    require_tenant_not_held(tenant, f"erase tenant {tenant.slug}")


def describe_tenant(tenant_id: UUID) -> ErasedTenant:
    """Return what finds records that mention the tenant, its people or its groups."""
    others = Tenant.objects.exclude(pk=tenant_id).values_list("slug", "name")
    names = (name for row in others.iterator() for name in row)
    return ErasedTenant(tenant_id, Mentions(_iter_names(tenant_id), names))


def _iter_names(tenant_id: UUID) -> Iterator[str]:
    yield from (str(tenant_id), tenant_id.hex)
    columns = ("slug", "name", "contact_email", "scaikey_tenant_id")
    for names in Tenant.objects.filter(pk=tenant_id).values_list(*columns):
        yield from filter(None, names)
    server_name = get_server_name()
    people = Participant.objects.filter(tenant=tenant_id)
    for person in people.only(
        "scaikey_id", "local_id", "server_name", "display_name", "email"
    ).iterator():
        yield person.fqid(server_name)
        names = {person.scaikey_id, person.display_name, person.email} - {None, "", DELETED_NAME}
        yield from (name for name in names if name)
    groups = Group.objects.filter(tenant=tenant_id).values_list("scaikey_id", "name")
    for names in groups.iterator():
        yield from filter(None, names)


def list_places() -> list[TenantPlace]:
    return [place for extension in TENANT_PLACES for place in extension.load()()]


def count_all(tenant: ErasedTenant) -> Counts:
    """Count the rows of every table, and what every other place has."""
    counts = {name: select(tenant.tenant_id).count() for name, select in iter_tables()}
    return counts | {place.name: place.count(tenant) for place in (*list_places(), *STORES)}


def _verify_export(tenant: Tenant, directory: Path, options: ErasureOptions) -> VerifiedIndex:
    """Compare an export of this server with the database as it is now.

    Raises `TenantExportOutdated`, `TenantExportDamaged`, `TenantExportUntrusted`,
    `MediaFilesMissing` and `UsageError`.
    """
    tables = load_tables()
    index, _ = open_export(directory, own_keys(), tables, options.progress_factory)
    if index.tenant.id != str(tenant.pk):
        raise TenantExportOutdated(f"{directory} has the export of another tenant.")
    rooms = {str(room.pk): room for room in Room.all_objects.filter(tenant=tenant)}
    if rooms.keys() != {entry.id for entry in index.rooms}:
        raise TenantExportOutdated("Rooms were created or deleted since the export.")
    if (count := len(index.not_exported)) != options.not_exported:
        raise UsageError(
            f"{pluralize(count, 'room is', 'rooms are')} not in the export, and would be lost.",
            fix=f"`scaiwave admin verify-tenant-export {quote(str(directory))} --json` lists them "
            f"and why. If they may be lost, pass --not-exported {count}.",
        )
    now, missing = options.clock(), dict[str, Row]()
    export, same = ExportedRows(directory, index, tables), SameTenant(tenant.pk, now)
    for row in compare_rows(export, same, ignored=_CHANGED_BY_SYNCS):
        raise TenantExportOutdated(
            f"The export differs from the tenant: {row['table']} {row['id']}: {row['difference']}."
        )
    with options.progress_factory("Comparing rooms") as progress:
        for number, entry in enumerate(index.exported, 1):
            paths = index.bundle_paths(directory, entry)
            with open_chain_files(paths, max_bytes=options.max_bytes) as chain:
                add_missing(missing, entry.id, chain.state.media.values())
                if problem := find_changes(rooms[entry.id], chain, now):
                    raise TenantExportOutdated(
                        f"Room {entry.id} has changed since the export: {problem}."
                    )
            progress(number, len(index.exported))
    if error := find_missing_error(missing, options.missing_files):
        raise error
    return VerifiedIndex(
        hashlib.sha256((directory / INDEX).read_bytes()).hexdigest(),
        index.sequence,
        index.snapshot_at,
        index.key_id,
        len(missing),
    )


def write_plan(file: Path, plan: ErasurePlan) -> None:
    with translate_write_errors(file):
        replace_file(file, encode_sealed(msgspec.to_builtins(plan), _PURPOSE))


def read_plan(file: Path) -> ErasurePlan:
    """Raises `ErasurePlanInvalid` and `UsageError`."""
    try:
        with file.open("rb") as opened:
            plan, document = read_signed_file(opened.read(_MAX_BYTES), ErasurePlan)
    except OSError as error:
        raise UsageError(
            f"{file} can't be read: {error.strerror}.",
            fix="Name the file that `scaiwave admin erase-tenant --plan` wrote.",
        ) from None
    except SignedFileError:
        raise ErasurePlanInvalid(f"{file} is not the plan of an erasure.") from None
    if not document.has_seal(_PURPOSE):
        raise ErasurePlanInvalid(f"{file} was changed, or made by another server.")
    if plan.server_name != get_server_name():
        raise ErasurePlanInvalid(f"{file} is a plan for {plan.server_name}.")
    return plan


def require_fresh(plan: ErasurePlan, file: Path, now: datetime) -> None:
    """Raises `ErasurePlanInvalid`. An erasure that has begun continues by an old plan too."""
    if is_in_future(plan.created_at, now) or now > plan.created_at + MAX_AGE:
        raise ErasurePlanInvalid(f"{file} is more than 24 hours old, or dated in the future.")
