"""Verify the export of a tenant without a database, and compare it with an imported tenant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import msgspec

from rooms.bundle import strict_json
from rooms.bundle.chain import DIGEST_MODULUS, format_digest
from rooms.bundle.chain_files import open_chain_files
from rooms.bundle.manifest.events import Batch, BundleEvent, try_decode
from rooms.bundle.manifest.schema import WHOLE_ROOM, Sender
from rooms.errors import TenantDiffers, TenantExportDamaged
from rooms.exports.events import iter_pages, split_page
from rooms.exports.snapshot import snapshot
from rooms.imports.verify_bundle import load_keys
from rooms.lookup.export_metadata import get_room, get_senders
from rooms.models import TenantImport
from rooms.moves.import_rooms import MovedRewriter
from rooms.moves.import_tenant import build_mapping, find_stale
from rooms.moves.index import AUDIT, RoomEntry, TenantIndex, name_rows, open_export
from rooms.moves.mapping import TenantMapping
from rooms.moves.result import MoveResult
from rooms.moves.rows import ExportedRows, RowTable, load_tables
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched
from tenants.audit.queries.verify_audit_export import verify_audit_export
from tenants.lookup.resolve import resolve_tenant
from tenants.models import Tenant

_encode = msgspec.json.Encoder(order="sorted").encode
_MAX_LISTED = 100


class _AuditExport(msgspec.Struct):
    keys: list[str]


class _AuditHeader(msgspec.Struct):
    export: _AuditExport | None = None


def _build_result(index: TenantIndex, compared: str, differences: list[str]) -> MoveResult:
    figures = {
        "tenant": index.tenant.slug,
        "server_name": index.server_name,
        "snapshot_at": index.snapshot_at,
        "frozen": index.frozen,
        "rooms": len(index.exported),
        "rooms_not_exported": len(index.not_exported),
        "events": sum(room.events for room in index.exported),
        "rows": sum(info.rows for info in index.files.values()),
        "size_bytes": sum(info.size for _, info in index.iter_files()),
        "key_id": index.key_id,
    }
    sentence, error = f"The export is valid, signed by {index.server_name}.", None
    if differences:
        count = pluralize(len(differences), "difference")
        error = TenantDiffers(f"Tenant {compared} has {count}, first: {differences[0]}.")
    elif compared:
        rooms = pluralize(len(index.exported), "room")
        sentence += f" Tenant {compared} is equal: every row, and every event of {rooms}."
    rows = [{"difference": text} for text in differences]
    return MoveResult(figures, sentence, {"differences": rows}, error=error)


def verify_tenant_export(
    *,
    operator: Operator | None,
    directory: Path,
    key: str | None,
    descriptor: Path | None,
    max_bytes: int,
    now: datetime,
    against: str | None = None,
    progress_factory: ProgressFactory = null_progress_factory,
) -> MoveResult:
    """Check the signature, every file, row and bundle, and the audit entries of sealed days.

    With `against`, a tenant that was imported from it is compared, row by row and event by event.
    Raises `TenantExportDamaged`, `TenantExportUntrusted`, `BundleError`, `InvalidKey`,
    `InvalidDescriptor` or `UsageError`.
    """
    keys = load_keys(operator, key, descriptor)
    tables = load_tables()
    index = open_export(directory, keys, tables, progress_factory)
    export = ExportedRows(directory, index, tables)
    export.check()
    _check_audit(export, now)
    mapping = target = None
    if against is not None and operator is not None:
        operator.require(Permission.VIEW)
        target = resolve_tenant(operator, against)
        mapping = build_mapping(export, _find_record(target, index))
    differences: list[str] = []
    with progress_factory("Reading rooms") as progress:
        for number, entry in enumerate(index.exported):
            progress(number, len(index.exported))
            digest = _check_room(export, entry, mapping, max_bytes)
            if mapping and digest != (found := digest_room(mapping(UUID(entry.id)))):
                differences.append(f"room {entry.id} has the digest {digest}, not {found}")
    if mapping is not None:
        for table in tables.values():
            differences.extend(_compare_rows(export, mapping, table))
    return _build_result(index, against or "", differences)


def _find_record(tenant: Tenant, index: TenantIndex) -> TenantImport:
    record = TenantImport.objects.filter(tenant=tenant, source_tenant_id=index.tenant.id).first()
    if record is None:
        raise TenantDiffers(f"Tenant {tenant.slug} was not imported from this export.")
    return record


def _check_audit(export: ExportedRows, now: datetime) -> None:
    """Check the entries of sealed days against the seals in the file.

    The signature of the index covers the keys that the file lists.
    """
    path = export.directory / name_rows(export.index.sequence, AUDIT)
    with path.open("rb") as file:
        try:
            first = msgspec.json.decode(file.readline() or b"{}", type=_AuditHeader)
        except msgspec.MsgspecError as error:
            raise TenantExportDamaged(f"The audit log can't be read: {error}.") from None
        if first.export is None:
            return  # No day was sealed.
        file.seek(0)
        result = verify_audit_export(operator=None, file=file, now=now, keys=first.export.keys)
    if result.error is not None:
        problem = next((each.message for each in result.problems.listed), result.error.message)
        raise TenantExportDamaged(f"The audit log of the export is not as sealed. {problem}")


def _check_room(
    export: ExportedRows, entry: RoomEntry, mapping: TenantMapping | None, max_bytes: int
) -> str:
    """Validate the chain of a room; return the digest that it has here, empty without a mapping."""
    paths = export.index.link_paths(export.directory, entry)
    with open_chain_files(paths, max_bytes=max_bytes) as chain:
        found = [link.bundle.manifest_sha256 for link in chain.links]
        totals = chain.totals[-1]
        if (
            found != [link.manifest_sha256 for link in entry.links]
            or chain.state.room.id != entry.id
            or (totals.events, totals.media) != (entry.events, entry.media)
        ):
            raise TenantExportDamaged(f"The bundles of room {entry.id} differ from the index.")
        if strangers := chain.state.senders.keys() - {str(key) for key in export.people}:
            raise TenantExportDamaged(
                f"Room {entry.id} has a sender who is not in the export: {min(strangers)}."
            )
        if mapping is None:
            return ""
        people = {str(key): str(mapping(key)) for key in export.people}
        rewriter = MovedRewriter(mapping.new_id, people, chain.state.senders)

        def iter_mapped() -> Iterator[BundleEvent]:
            for _, _, texts in chain.iter_batches():
                batch = _decode(texts)
                rewriter.rewrite(batch)
                for event in batch:
                    event.id, event.sender_id = rewriter.new_id(event.id), people[event.sender_id]
                yield from batch

        return _digest(iter_mapped())


def digest_room(room_id: UUID) -> str:
    """Return the digest of a room's events as they are in the database."""
    with snapshot() as read_connection:
        if (room := get_room(room_id)) is None:
            return "of no room"
        senders: dict[str, Sender] = {
            key: msgspec.structs.replace(sender, is_foreign=False)
            for key, sender in get_senders(room, WHOLE_ROOM, "")[0].items()
        }
        pages = iter_pages(room_id, senders=senders, read_connection=read_connection)
        return _digest(event for page in pages for event in _decode(split_page(page)))


def _digest(events: Iterable[BundleEvent]) -> str:
    """Return the sum of the digests of events, in a form that no database changes."""
    total = sum(
        int.from_bytes(blake2b(_encode(event), digest_size=16).digest()) for event in events
    )
    return format_digest(total % DIGEST_MODULUS)


def _decode(texts: Iterable[bytes]) -> Batch:
    texts = list(texts)
    batch = try_decode(b"[%b]" % b",".join(texts), BundleEvent)
    if batch is not None:
        return batch
    return Batch(msgspec.convert(strict_json.loads(bytes(text)), BundleEvent) for text in texts)


def _compare_rows(export: ExportedRows, mapping: TenantMapping, table: RowTable) -> Iterator[str]:
    """Yield the rows that are missing or different here; people whom a sync found may differ."""
    if table.model is Tenant:
        return
    for key in find_stale(export, mapping, table.name)[:_MAX_LISTED]:
        yield f"{table.name} has the row {key}, which is not in the export"
    listed = 0
    for part in batched(mapping.iter_rows(export, table)):
        rows = table.model._base_manager.filter(pk__in=[row["id"] for row in part])
        found = {row["id"]: row for row in rows.values(*table.columns)}
        for row in part:
            here = found.get(row["id"])
            if here is not None and row.get("absent_since") and here["absent_since"] is None:
                continue
            if here != row and (listed := listed + 1) <= _MAX_LISTED:
                yield f"{table.name} has the row {row['id']} {'otherwise' if here else 'not'}"
