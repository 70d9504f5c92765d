"""Erase a tenant by a plan, in phases, and prove it.

From the first phase on no command and no page finds the tenant. Each phase continues where an
earlier call has ended, in short transactions, while no hold may be placed. What follows the last
phase is one transaction: every count again, the row of the tenant, and the certificate.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from federation.errors import NoSigningKey
from rooms.bundle.format import SIGNATURE_ALGORITHM
from rooms.bundle.manifest.schema import format_timestamp
from rooms.erasure.certificate import (
    STATEMENT,
    Certificate,
    PlaceCounts,
    VerifiedIndex,
    hash_salted,
    list_remainders,
    read_certificate,
)
from rooms.erasure.places import STORES
from rooms.erasure.plan import (
    Counts,
    ErasureOptions,
    ErasurePlan,
    build_plan,
    count_all,
    describe_tenant,
    list_places,
    read_plan,
    require_fresh,
    require_idle,
    require_no_hold,
    write_plan,
)
from rooms.errors import ErasurePlanChanged, ErasurePlanInvalid, TenantBusy, TenantRowsLeft
from rooms.exports.export_room import load_signer
from rooms.imports.verify_bundle import load_keys
from rooms.lifecycle.deletion import open_deletion
from rooms.lifecycle.purge_room import purge_room
from rooms.models import Room
from rooms.moves.rows import iter_tables
from rooms.search.database import SearchIndex
from scaiwave import __version__
from scaiwave.console.text import pluralize
from scaiwave.core.change import ChangeResult
from scaiwave.core.errors import UsageError
from scaiwave.core.files import make_directories, replace_file, translate_write_errors
from scaiwave.core.locks import process_lock
from scaiwave.core.mentions import ErasedTenant
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.signed_files import add_signature
from scaiwave.extensions import SYNC_LOCK
from scaiwave.storage.media import MediaStore
from tenants.audit.record import record_audit
from tenants.errors import TenantNotFound
from tenants.holds.queries import block_new_holds
from tenants.lookup.resolve import parse_uuid, resolve_tenant
from tenants.lookup.restoration import require_activated
from tenants.lookup.serializers import Row, get_server_name
from tenants.lookup.validators import validate_reason, validate_required_reason
from tenants.models import (
    AuditEntry,
    AuditSeal,
    ErasurePhase,
    Participant,
    Tenant,
    TenantErasure,
)
from tenants.models.erasure import hash_scaikey_id

ACTION = "erase-tenant"
_TENANT = Tenant._meta.label


@dataclass(frozen=True)
class ErasureResult(ChangeResult):
    """The counts by place, before the erasure or for its plan. Without a certificate nothing was
    erased."""

    tenant: str
    erasure_id: UUID
    before: Counts
    certificate: dict[str, Any] | None = None
    changed: bool = False

    @property
    def rows(self) -> list[Row]:
        after = None if self.certificate is None else 0
        found = sorted((place, count) for place, count in self.before.items() if count)
        return [{"place": place, "before": count, "after": after} for place, count in found]

    @property
    def sentence(self) -> str:
        total = pluralize(sum(self.before.values()), "row or file", "rows and files")
        if self.certificate is None:
            return f"Would erase tenant {self.tenant}: {total}. No changes were made."
        if not self.changed:
            return f"Tenant {self.tenant} is already erased; nothing changed."
        return f"Tenant {self.tenant} erased: {total}. Nothing of it was found afterwards."

    def document(self) -> Row:
        return {
            "tenant": self.tenant,
            "erasure": self.erasure_id,
            "counts": self.rows,
            "certificate": self.certificate,
            "changed": self.changed or self.certificate is None,
        }


def plan_erasure(
    *,
    operator: Operator,
    tenant: str,
    options: ErasureOptions,
    file: Path,
    dry_run: bool = False,
) -> ErasureResult:
    """Write a plan with the counts of everything that would be erased; nothing else changes.

    Raises `TenantNotSuspended`, `TenantInScaiKey`, `OnHold`, `TenantBusy`, `TenantReferenced`,
    `TenantExportOutdated`, `NoSigningKey`, `SyncLocked`, `TenantNotFound`, and what reading the
    export raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    (validate_required_reason if options.at_once else validate_reason)(options.reason)
    plan = build_plan(resolve_tenant(operator, tenant), options)
    if not dry_run:
        write_plan(file, plan)
    return ErasureResult(plan.slug, plan.id, plan.counts)


def erase_tenant(
    *,
    operator: Operator,
    tenant: str,
    file: Path | None,
    options: ErasureOptions,
    confirm: Callable[[str, str], None],
    dry_run: bool = False,
) -> ErasureResult:
    """Erase by a plan, if nothing has changed since; without a plan, continue an erasure.

    `confirm` gets the effect and the slug, and raises unless the operator agrees. Once more with
    the same plan, the certificate is written again. Raises `ErasurePlanInvalid`,
    `ErasurePlanChanged`, `TenantRowsLeft`, `MediaVersioned`, and what `plan_erasure` raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    _require_directory(options.certificate)
    if file is None:
        begun = _find_unfinished(tenant)
        with _lock(begun.tenant_id, dry_run=dry_run):
            return _Erasure(operator, begun, tenant, options).run(dry_run)
    plan = read_plan(file)
    if tenant not in (plan.slug, str(plan.tenant_id)):
        raise ErasurePlanInvalid(f"{file} is the plan of tenant {plan.slug}, not of {tenant}.")
    with _lock(plan.tenant_id, dry_run=dry_run):
        return _apply(
            plan, file, operator=operator, options=options, confirm=confirm, dry_run=dry_run
        )


def _apply(
    plan: ErasurePlan,
    file: Path,
    *,
    operator: Operator,
    options: ErasureOptions,
    confirm: Callable[[str, str], None],
    dry_run: bool,
) -> ErasureResult:
    if begun := TenantErasure.objects.filter(pk=plan.id).first():
        return _Erasure(operator, begun, plan.slug, options).run(dry_run)
    require_fresh(plan, file, options.clock())
    validate_required_reason(options.reason)
    found = resolve_tenant(operator, str(plan.tenant_id))
    directory = Path(plan.directory) if plan.directory else None
    as_planned = replace(
        options,
        directory=directory,
        not_exported=plan.not_exported,
        missing_files=plan.export.files_missing if plan.export else 0,
        at_once=plan.at_once,
    )
    checked = build_plan(found, as_planned)
    if difference := plan.find_difference(checked):
        raise ErasurePlanChanged(f"Tenant {plan.slug} is not as planned: {difference}.")
    if dry_run:
        return ErasureResult(plan.slug, plan.id, checked.counts)
    _confirm(confirm, plan.slug, plan.counts, has_export=plan.export is not None)
    export = msgspec.to_builtins(plan.export) if plan.export else None
    row = TenantErasure(id=plan.id, export=export, not_exported=plan.not_exported)
    erasure = _Erasure(operator, row, plan.slug, options)
    erasure.begin(found, plan.counts, options.reason)
    return erasure.run()


def erase_again(
    *,
    operator: Operator,
    tenant: str,
    certificate: Path,
    key: str | None,
    descriptor: Path | None,
    options: ErasureOptions,
    confirm: Callable[[str, str], None],
    dry_run: bool = False,
) -> ErasureResult:
    """Erase a tenant that a restored backup has brought back, and keep syncs from bringing it back.

    Raises `CertificateInvalid`, `ServerRestored`, and what `erase_tenant` raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    keys = load_keys(operator, key, descriptor)
    old, _ = read_certificate(certificate, keys, by=get_server_name())
    found = next((row for row in Tenant.objects.all() if old.is_of(str(row.pk))), None)
    earlier = TenantErasure.objects.filter(certificate__again=old.id)
    if found is not None:
        earlier = earlier.filter(finished_at=None)
    if begun := earlier.order_by("-begun_at").first():
        with _lock(begun.tenant_id, dry_run=dry_run):
            return _Erasure(operator, begun, str(begun.tenant_id), options).run(dry_run)
    if found is None:
        if not dry_run:
            _keep_erased(operator, old, options.clock())
        fix = "Nothing needs to be erased. Syncs leave the tenant out from now on."
        linked = Tenant.objects.exclude(scaikey_tenant_id=None)
        if new := next((row for row in linked if old.is_of(str(row.scaikey_tenant_id))), None):
            fix = (
                f"Tenant {new.slug} was created later with the same ScaiKey ID. If a sync has "
                "created it after a restore, erase it with --plan."
            )
        raise TenantNotFound("No tenant of this server is the one of the certificate.", fix=fix)
    if tenant not in ("", found.slug, str(found.pk)):
        raise UsageError(
            f"{certificate} is about tenant {found.slug}, not about {tenant}.",
            fix="Leave the tenant out.",
        )
    require_idle(found)
    counts = count_all(describe_tenant(found.pk))
    if dry_run:
        return ErasureResult(found.slug, UUID(old.id), counts)
    _require_directory(options.certificate)
    _confirm(confirm, found.slug, counts, has_export=old.export is not None)
    export = msgspec.to_builtins(old.export) if old.export else None
    row = TenantErasure(
        export=export, not_exported=old.rooms_not_exported, certificate={"again": old.id}
    )
    erasure = _Erasure(operator, row, found.slug, options)
    with _lock(found.pk, dry_run=dry_run):
        erasure.begin(found, counts, f"again, by the certificate {old.id}")
        return erasure.run()


@contextmanager
def _lock(tenant_id: UUID, *, dry_run: bool) -> Iterator[None]:
    """Let one process erase a tenant. Raises `TenantBusy`."""
    with process_lock(TenantErasure(tenant_id=tenant_id).lock_name) as acquired:
        if not acquired and not dry_run:
            raise TenantBusy("Another process is erasing the tenant.", fix="Wait for its end.")
        yield


def _keep_erased(operator: Operator, old: Certificate, now: datetime) -> None:
    """Keep syncs from bringing back a tenant that a restored backup does not have."""
    with transaction.atomic():
        row, is_new = TenantErasure.objects.get_or_create(
            pk=UUID(old.id),
            defaults={
                "tenant_id": UUID(old.id),  # The certificate has no more than a hash of it.
                "phase": ErasurePhase.DONE,
                "begun_at": datetime.fromisoformat(old.begun_at),
                "finished_at": datetime.fromisoformat(old.finished_at),
                "certificate": msgspec.to_builtins(old),
            },
        )
        if is_new:
            details = {"again": True}
            record_audit(operator=operator, action=ACTION, subject=row, now=now, details=details)


def _require_directory(file: Path) -> None:
    """The certificate is written at the end, where nothing can be undone any longer."""
    if not file.absolute().parent.is_dir():
        raise UsageError(f"The directory of {file} does not exist.", fix="Create it first.")
    if file.is_dir():
        raise UsageError(f"{file} is a directory.", fix="Name a file in it.")


def _confirm(
    confirm: Callable[[str, str], None], slug: str, counts: Counts, *, has_export: bool
) -> None:
    export = "" if has_export else " There is no verified export of it."
    confirm(f"{describe_counts(slug, counts)}{export} It can't be undone.", slug)


def describe_counts(slug: str, counts: Counts) -> str:
    people = pluralize(counts[Participant._meta.label], "person", "people")
    rooms, events = counts[Room._meta.label], counts["rooms.Event"]
    return (
        f"This erases tenant {slug} for good: {people}, {pluralize(rooms, 'room')}, "
        f"{pluralize(events, 'event')}, {pluralize(counts['files'], 'file')}."
    )


def _find_unfinished(name: str) -> TenantErasure:
    """Raises `TenantNotFound`."""
    erasing = TenantErasure.objects.filter(finished_at=None)
    tenants = Tenant.objects.filter(Q(slug=name) | Q(pk=parse_uuid(name)))
    row = erasing.filter(tenant_id__in=tenants.values("pk")).first()
    if row is None:
        raise TenantNotFound(
            f"No erasure of tenant {name} is unfinished.",
            fix="Make a plan with --plan FILE, then pass it with --apply FILE.",
        )
    return row


@dataclass
class _Erasure:
    operator: Operator
    row: TenantErasure
    slug: str
    options: ErasureOptions

    def begin(self, tenant: Tenant, counts: Counts, reason: str) -> None:
        """Hide the tenant and its rooms, and record that it is being erased."""
        cast(MediaStore, default_storage).require_erasable()
        row, now = self.row, self.options.clock()
        with SYNC_LOCK.load()(), transaction.atomic(durable=True):
            block_new_holds()
            require_no_hold(tenant)
            tenant = Tenant.objects.select_for_update().get(pk=tenant.pk)
            scaikey_id = _find_scaikey_id(tenant)
            row.tenant_id, row.before, row.begun_at = tenant.pk, counts, now
            row.scaikey_hash = hash_scaikey_id(scaikey_id) if scaikey_id else ""
            row.save(force_insert=True)
            Room.all_objects.filter(tenant=tenant).update(
                deleted_at=Coalesce(F("deleted_at"), now),
                purge_at=now,
                deletion={"reason": reason},
            )
            self._record(tenant, now, {"reason": reason, "before": counts})

    def run(self, dry_run: bool = False) -> ErasureResult:
        """Run the phases that are left, and write the certificate, under the lock."""
        row = self.row
        if dry_run and row.finished_at is None:
            left = count_all(describe_tenant(row.tenant_id))
            return ErasureResult(self.slug, row.pk, left)
        row.refresh_from_db()
        if changed := row.finished_at is None:
            self._run_phases()
        content = json.dumps(row.certificate, indent=2, sort_keys=True).encode() + b"\n"
        # The first copy outlives the database, so that `admin restore` can name it.
        kept = settings.HOME / "erasures" / f"{row.pk}.json"
        for file in () if dry_run else (kept, self.options.certificate.absolute()):
            with translate_write_errors(file):
                make_directories(file.parent)
                replace_file(file, content)
        return ErasureResult(self.slug, row.pk, row.before, row.certificate, changed=changed)

    def _run_phases(self) -> None:
        subject = describe_tenant(self.row.tenant_id)
        phases = {
            ErasurePhase.ROOMS: self._erase_rooms,
            ErasurePhase.RECORDS: self._erase_records,
            ErasurePhase.TABLES: self._erase_tables,
            ErasurePhase.FILES: self._erase_stores,
        }
        first = list(phases).index(ErasurePhase(self.row.phase))
        for phase in list(phases)[first:]:
            self._set_phase(phase)
            phases[phase](subject)
        try:
            self._finish(subject, self.options.clock())
        except (TenantRowsLeft, IntegrityError) as error:
            self._set_phase(ErasurePhase.ROOMS)
            raise TenantRowsLeft(f"Something of the tenant is left: {error}") from error

    def _set_phase(self, phase: ErasurePhase) -> None:
        TenantErasure.objects.filter(pk=self.row.pk).update(phase=phase)

    def _erase_rooms(self, subject: ErasedTenant) -> None:
        rooms = Room.all_objects.filter(tenant=subject.tenant_id).select_related("tenant")
        with (
            open_deletion(self.operator, self.options.clock()) as deletion,
            self.options.progress_factory("Erasing rooms") as progress,
        ):
            deletion.index.remove_tenant(subject.tenant_id)
            deletion.index = SearchIndex()  # Nothing else has documents any longer.
            total = rooms.count()
            # Not `iterator`: SQLite begins no transaction while an older state is being read.
            for number, room in enumerate(rooms.order_by("pk"), 1):
                now = self.options.clock()
                purge_room(
                    operator=self.operator, room=room, now=now, deletion=deletion, is_last=False
                )
                progress(number, total)

    def _erase_records(self, subject: ErasedTenant) -> None:
        require_no_hold(Tenant(pk=subject.tenant_id, slug=self.slug))
        for place in list_places():
            place.erase(subject)

    def _erase_tables(self, subject: ErasedTenant) -> None:
        """Delete the other rows. No event refers to them any longer."""
        tables = [select(subject.tenant_id) for name, select in iter_tables() if name != _TENANT]
        check = partial(require_no_hold, Tenant(pk=subject.tenant_id, slug=self.slug))
        deleted = 0
        with (
            open_deletion(self.operator, self.options.clock()) as deletion,
            self.options.progress_factory("Erasing rows") as progress,
        ):
            for count in deletion.delete_rows(tables, check):
                progress(deleted := deleted + count, None)
            deletion.forget_words()

    def _erase_stores(self, subject: ErasedTenant) -> None:
        for place in STORES:
            place.erase(subject)

    def _finish(self, subject: ErasedTenant, now: datetime) -> None:
        """Count everything again, delete the row of the tenant, and sign the certificate."""
        row, after = self.row, count_all(subject)
        left = {place: count for place, count in after.items() if count and place != _TENANT}
        if left:
            raise TenantRowsLeft(", ".join(f"{place} {left[place]:,}" for place in left))
        with transaction.atomic(durable=True):
            block_new_holds()
            tenant = Tenant.objects.select_for_update().get(pk=subject.tenant_id)
            require_no_hold(tenant)
            entry = self._record(tenant, now, {"before": row.before, "left": 0})
            scaikey_id = _find_scaikey_id(tenant)
            tenants = Tenant.objects.filter(pk=tenant.pk)
            tenants._raw_delete(tenants.db)  # The database refuses it if a row still refers to it.
            after[_TENANT] = tenants.count()
            row.certificate = self._build_certificate(scaikey_id, after, entry, now)
            row.phase, row.finished_at, row.error = ErasurePhase.DONE, now, None
            row.save()

    def _record(self, tenant: Tenant, now: datetime, details: dict[str, Any]) -> AuditEntry:
        return record_audit(
            operator=self.operator,
            action=ACTION,
            subject=tenant,
            tenant=tenant,
            now=now,
            details={"erasure": str(self.row.pk), **details},
        )

    def _build_certificate(
        self, scaikey_id: str, after: Counts, entry: AuditEntry, now: datetime
    ) -> dict[str, Any]:
        if (signer := load_signer(now)) is None:
            raise NoSigningKey("This server has no signing key, so it can't sign the certificate.")
        row, salt = self.row, secrets.token_hex(16)
        seal = AuditSeal.objects.order_by("-number").first()
        certificate = Certificate(
            format="scaiwave-erasure-certificate", version=1, generator=f"scaiwave {__version__}",
            server_name=get_server_name(), id=str(row.pk), operator=self.operator.name,
            operator_role=self.operator.role.value, begun_at=format_timestamp(row.begun_at),
            finished_at=format_timestamp(now), salt=salt,
            tenant_sha256=hash_salted(salt, str(row.tenant_id)),
            scaikey_sha256=hash_salted(salt, scaikey_id) if scaikey_id else "",
            export=msgspec.convert(row.export, VerifiedIndex) if row.export else None,
            rooms_not_exported=row.not_exported,
            counts=[
                PlaceCounts(place, row.before.get(place, 0), after.get(place, 0))
                for place in sorted(row.before.keys() | after.keys())
            ],
            holds=0, audit_entry=str(entry.pk), last_seal=seal.number if seal else 0,
            not_erased=list_remainders(self.options.backups_gone_by), statement=STATEMENT,
            key_id=signer.key_id, algorithm=SIGNATURE_ALGORITHM,
            again=(row.certificate or {}).get("again", ""),
        )  # fmt: skip
        return add_signature(msgspec.to_builtins(certificate), signer.sign)


def _find_scaikey_id(tenant: Tenant) -> str:
    """Return the ID in ScaiKey, even if the tenant was unlinked from it."""
    if tenant.scaikey_tenant_id:
        return tenant.scaikey_tenant_id
    entries = AuditEntry.objects.filter(action="unlink-tenant", tenant_id=str(tenant.pk))
    last = entries.order_by("-id").first()
    return str(last.details.get("scaikey_tenant_id", "")) if last else ""
