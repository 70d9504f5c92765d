"""Verify the export of a tenant without a database, and compare it with an imported tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from rooms.bundle.chain import Chain
from rooms.bundle.chain_files import open_chain_files
from rooms.bundle.manifest.events import Batch, BundleEvent, try_decode
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.errors import TenantDiffers, TenantExportDamaged
from rooms.exports.events import read_pages, split_page
from rooms.exports.export_room import ExportOptions
from rooms.exports.increments import IncrementRun
from rooms.exports.snapshot import snapshot
from rooms.imports.import_room import build_origin
from rooms.imports.verify_bundle import load_keys
from rooms.lookup.export_metadata import get_media, get_room, get_senders
from rooms.lookup.media import hash_stored, mark_missing
from rooms.models import Room, TenantImport
from rooms.models.media import get_storage_name
from rooms.moves.import_rooms import MovedRewriter
from rooms.moves.import_tenant import LOCAL_COLUMNS, build_mapping, find_stale
from rooms.moves.index import AUDIT, RoomEntry, TenantIndex, name_rows, open_export
from rooms.moves.mapping import SameTenant, TenantMapping
from rooms.moves.result import add_missing, list_not_exported, with_missing
from rooms.moves.rows import ExportedRows, load_tables
from scaiwave.console.progress import ProgressFactory, null_progress, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core import strict_json
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.core.sql import batched
from tenants.audit.queries.verify_audit_export import verify_audit_export
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.models import Tenant

_encode = msgspec.json.Encoder(order="sorted").encode
_MAX_LISTED = 100


class _AuditExport(msgspec.Struct):
    keys: list[str]


class _AuditHeader(msgspec.Struct):
    export: _AuditExport | None = None


def _build_result(
    index: TenantIndex, signer: str, compared: str | None, differences: list[Row]
) -> Report:
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
    sentence, error = f"The export is valid, signed by {signer}.", None
    if differences:
        count, first = pluralize(len(differences), "difference"), differences[0]
        error = TenantDiffers(
            f"Tenant {compared} has {count}, first: {first['table']} {first['id']}: "
            f"{first['difference']}."
        )
    elif compared:
        rooms = pluralize(len(index.exported), "room")
        sentence += (
            f" Tenant {compared} is equal: every row, and every event and attachment of {rooms}."
        )
    lists = {"differences": differences, "not_exported": list_not_exported(index.rooms)}
    return Report(figures, sentence, lists, error=error)


def verify_tenant_export(
    *,
    operator: Operator | None,
    directory: Path,
    key: str | None,
    descriptor: Path | None,
    max_bytes: int,
    now: datetime,
    against: str | None = None,
    missing_files: int = 0,
    progress_factory: ProgressFactory = null_progress_factory,
) -> Report:
    """Check the signature, every file, row and bundle, and the audit entries of sealed days.

    With `against`, a tenant that was imported from it is compared, row by row, event by event and
    byte by byte of its attachments. More than `missing_files` missing in the export are an error.
    Raises `TenantExportDamaged`, `TenantExportUntrusted`, `BundleError`, `InvalidKey`,
    `InvalidDescriptor` or `UsageError`.
    """
    keys = load_keys(operator, key, descriptor)
    tables = load_tables()
    index, signer = open_export(directory, keys, tables, progress_factory)
    export = ExportedRows(directory, index, tables)
    export.check()
    _check_audit(export, now)
    mapping: TenantMapping | None = None
    differences: list[Row] = []
    missing: dict[str, Row] = {}
    if against is not None and operator is not None:
        operator.require(Permission.VIEW)
        target = resolve_tenant(operator, against)
        if str(target.pk) == index.tenant.id:
            mapping = SameTenant(target.pk, now)
        else:
            record = _find_record(target, index)
            mapping = build_mapping(export, record)
            differences += _compare_tenant(export, target) if record.is_new else ()
    with progress_factory("Reading rooms") as progress:
        for number, entry in enumerate(index.exported):
            progress(number, len(index.exported))
            with _open_room(export, entry, max_bytes) as chain:
                add_missing(missing, entry.id, chain.state.media.values())
                if mapping is not None:
                    differences += _compare_room(export, entry, mapping, chain)
    if mapping is not None:
        differences += compare_rows(export, mapping)
    result = _build_result(index, signer, against, differences)
    return with_missing(result, missing, missing_files)


def _find_record(tenant: Tenant, index: TenantIndex) -> TenantImport:
    record = TenantImport.objects.filter(tenant=tenant, source_tenant_id=index.tenant.id).first()
    if record is None:
        raise TenantDiffers(
            f"Tenant {tenant.slug} was not imported from this export.",
            fix="Name the tenant that was exported, or imported from it.",
        )
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


@contextmanager
def _open_room(export: ExportedRows, entry: RoomEntry, max_bytes: int) -> Iterator[Chain]:
    """Open the chain of a room, and validate it."""
    paths = export.index.bundle_paths(export.directory, entry)
    with open_chain_files(paths, max_bytes=max_bytes) as chain:
        found = [item.bundle.manifest_sha256 for item in chain.bundles]
        totals = chain.totals[-1]
        if (
            found != [item.manifest_sha256 for item in entry.links]
            or chain.state.room.id != entry.id
            or (totals.events, totals.media) != (entry.events, entry.media)
        ):
            raise TenantExportDamaged(f"The bundles of room {entry.id} differ from the index.")
        if strangers := chain.state.senders.keys() - {str(key) for key in export.people}:
            raise TenantExportDamaged(
                f"Room {entry.id} has a sender who is not in the export: {min(strangers)}."
            )
        yield chain


def _compare_room(
    export: ExportedRows, entry: RoomEntry, mapping: TenantMapping, chain: Chain
) -> Iterator[Row]:
    key = mapping(UUID(entry.id))
    if (room := get_room(key)) is None:
        problem = "not here"
    elif isinstance(mapping, SameTenant):
        problem = find_changes(room, chain, mapping.absent_at)
    else:
        problem = _compare_copy(export, room, mapping, chain)
    if problem:
        yield {"table": "room", "id": str(key), "difference": problem}


def find_changes(room: Room, chain: Chain, now: datetime) -> str:
    """Return the changes in a room since its chain was exported, as a text that may be empty."""
    options = ExportOptions(WHOLE_ROOM, True, now, None, null_progress)
    with closing(IncrementRun(room, options, chain.state, chain.iter_batches())) as run:
        if not run.find_changes():
            return ""
        counts = {"changed": run.changed, "new": run.added, "deleted": run.deleted}
        return _describe_counts(counts, "") or "other attachments, senders or settings"


def _compare_copy(export: ExportedRows, room: Room, mapping: TenantMapping, chain: Chain) -> str:
    """Compare a room of an imported tenant, event by event; return the differences."""
    people = {str(key): str(mapping(key)) for key in export.people}
    origin = build_origin(export.index.key_id, mapping.absent_at)
    rewriter = MovedRewriter(mapping.new_id, people, chain.state.senders, origin)

    def iter_mapped() -> Iterator[BundleEvent]:
        for _, _, texts in chain.iter_batches():
            batch = _decode(texts)
            rewriter.rewrite(batch)
            for event in batch:
                event.id, event.sender_id = rewriter.new_id(event.id), people[event.sender_id]
            yield from batch

    with closing(_iter_events(room)) as here:
        problem = _compare_events(iter_mapped(), here)
    expected = {
        (mapping.new_id(key), name): (each.sha256, each.size, each.mime_type, each.missing)
        for (key, name), each in chain.state.media.items()
    }
    attachments = get_media(room)
    mark_missing(room.tenant_id, attachments, with_bytes=True)
    for each in attachments:
        if each.missing is None:
            each.sha256 = hash_stored(get_storage_name(room.tenant_id, each.sha256))
    found = {
        (each.media_id, each.name): (each.sha256, each.size, each.mime_type, each.missing)
        for each in attachments
    }
    names = {name for (_, name), _ in expected.items() ^ found.items()}
    count = pluralize(len(names), "attachment is", "attachments are")
    others = f"{count} missing or different, such as {min(names)}" if names else ""
    return ", ".join(filter(None, [problem, others]))


def _iter_events(room: Room) -> Generator[BundleEvent]:
    """Yield the events of a room as they are in the database."""
    with snapshot() as read_connection:
        senders = {
            key: msgspec.structs.replace(sender, is_foreign=False)
            for key, sender in get_senders(room, WHOLE_ROOM, "")[0].items()
        }
        with read_pages(room.pk, senders=senders, read_connection=read_connection) as pages:
            for page in pages:
                yield from _decode(split_page(page))


def _compare_events(expected: Iterator[BundleEvent], here: Iterator[BundleEvent]) -> str:
    """Count the differences of two streams, both in the order of their positions."""
    counts, first = Counter[str](), ""
    one, other = next(expected, None), next(here, None)
    while one or other:
        if not other or (one and one.stream_position < other.stream_position):
            kind, event, one = "missing", one, next(expected, None)
        elif not one or one.stream_position > other.stream_position:
            kind, event, other = "only here", other, next(here, None)
        else:
            kind, event = "changed" if _encode(one) != _encode(other) else "", other
            one, other = next(expected, None), next(here, None)
        if kind:
            counts[kind] += 1
            first = first or f"first {event and event.id}"
    return _describe_counts(counts, first)


def _describe_counts(counts: Mapping[str, int], detail: str) -> str:
    texts = [f"{pluralize(count, 'event')} {kind}" for kind, count in counts.items() if count]
    return ", ".join([*texts, detail] if detail else texts)


def _decode(texts: Iterable[bytes]) -> Batch:
    texts = list(texts)
    batch = try_decode(b"[%b]" % b",".join(texts), BundleEvent)
    if batch is not None:
        return batch
    return Batch(msgspec.convert(strict_json.loads(bytes(text)), BundleEvent) for text in texts)


def _compare_tenant(export: ExportedRows, tenant: Tenant) -> Iterator[Row]:
    columns = export.tenant.keys() - LOCAL_COLUMNS - {"updated_at"}
    names = [name for name in sorted(columns) if getattr(tenant, name) != export.tenant[name]]
    if names:
        problem = f"other {', '.join(names)}"
        yield {"table": "tenant", "id": str(tenant.pk), "difference": problem}


def compare_rows(
    export: ExportedRows, mapping: TenantMapping, ignored: Collection[str] = ()
) -> Iterator[Row]:
    """Yield the rows that are missing or different here; people whom a sync found may differ.

    `ignored` are columns.
    """
    is_source = isinstance(mapping, SameTenant)
    for table in export.tables.values():
        if table.model is Tenant:
            continue
        stale = find_stale(export, mapping, table.name)
        listed = [(key, "not in the export") for key in stale[:_MAX_LISTED]]
        columns = [name for name in table.columns if name not in ignored]
        for part in batched(mapping.iter_rows(export, table)):
            rows = table.model._base_manager.filter(pk__in=[row["id"] for row in part])
            found = {row["id"]: row for row in rows.values(*columns)}
            for row in part:
                here = found.get(row["id"])
                absent_since = row.get("absent_since")
                is_claimed = here and absent_since and here.get("absent_since") != absent_since
                if is_claimed and not is_source:
                    continue
                names = [name for name in columns if here and here[name] != row[name]]
                if (names or here is None) and len(listed) < 2 * _MAX_LISTED:
                    problem = f"other {', '.join(names)}" if names else "not here"
                    listed.append((row["id"], problem))
        for key, problem in listed:
            yield {"table": table.name, "id": str(key), "difference": problem}
