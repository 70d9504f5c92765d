"""The IDs of an exported tenant here, and its people.

An ID is computed from the ID of the new tenant and the old one, as `IdMapper` does for a room, so
nothing has to remember it. Rows that exist here already are the exception: people, and in a tenant
that was synced before also groups, roles and who has them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from django.db.models import UniqueConstraint

from rooms.conversion.people import read_people_map
from rooms.imports.id_mapping import IdMapper
from rooms.moves.rows import ExportedRows, Row, RowTable
from scaiwave.core.errors import UsageError
from scaiwave.core.sql import batched
from tenants.lookup.serializers import get_server_name
from tenants.models import Group, Participant, ParticipantType, Tenant, active_q

_DERIVED_VERSION = 8


def is_derived(key: UUID) -> bool:
    """Return whether an import has computed this ID; rows of this server have another version."""
    return key.version == _DERIVED_VERSION


@dataclass
class TenantMapping:
    """`existing` has the rows here that are not computed, by the old IDs.

    People, and all else that has a ScaiKey ID, are here as removed from ScaiKey since `absent_at`:
    they can't sign in until a sync finds them.
    """

    tenant_id: UUID
    absent_at: datetime
    existing: dict[UUID, UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.new_id = IdMapper(self.tenant_id)

    def __call__(self, old: UUID) -> UUID:
        return self.existing.get(old) or UUID(self.new_id(str(old)))

    def map_row(self, table: RowTable, row: Row) -> Row:
        changes: Row = {"id": self(row["id"])}
        if "tenant_id" in row:
            changes["tenant_id"] = self.tenant_id
        for column in table.references:
            if row[column] is not None:
                changes[column] = self(row[column])
        is_person = row.get("participant_type") == ParticipantType.HUMAN
        if table.model in (Participant, Group) and (is_person or row["scaikey_id"] is not None):
            changes["absent_since"] = row["absent_since"] or self.absent_at
        return row | changes

    def iter_rows(self, export: ExportedRows, table: RowTable) -> Iterator[Row]:
        """Yield the rows as they are written here, without rows that exist."""
        for row in export.iter_rows(table):
            if row["id"] not in self.existing:
                yield self.map_row(table, row)

    def find_existing(self, export: ExportedRows) -> None:
        """Look for rows of the tenant that have the same unique values, such as a role's slug."""
        for table in export.tables.values():
            model = table.model
            if model._meta.app_label != "tenants" or model in (Tenant, Participant):
                continue
            keys = [
                [cast(Any, model._meta.get_field(name)).attname for name in constraint.fields]
                for constraint in model._meta.constraints
                if isinstance(constraint, UniqueConstraint) and constraint.condition is None
            ]
            local = {
                (number, *values): row["id"]
                for row in table.select(self.tenant_id)
                if not is_derived(row["id"])
                for number, key in enumerate(keys)
                if None not in (values := [row[name] for name in key])
            }
            for row in export.iter_rows(table) if local else ():
                mapped = self.map_row(table, row)
                for number, key in enumerate(keys):
                    if found := local.get((number, *(mapped[name] for name in key))):
                        self.existing[row["id"]] = found


@dataclass
class PeopleMap:
    """`mapped` has the people who exist here; `refused` says of others why they can't."""

    mapped: dict[UUID, UUID] = field(default_factory=dict)
    placeholders: int = 0
    refused: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class PeopleOptions:
    """How people are found here, beside their ScaiKey ID: by a file, by their e-mail address."""

    file: Path | None = None
    match_email: bool = False


def map_people(
    export: ExportedRows,
    options: PeopleOptions,
    tenant: Tenant | None,
    known: Mapping[str, str],
) -> PeopleMap:
    """Find the people of the export in the tenant here; `known` holds earlier ones.

    Raises `UsageError` for a file that can't be used.
    """
    source = export.index.server_name
    given = read_people_map(options.file) if options.file else {}
    fqids = {_format_fqid(row, source): key for key, row in export.people.items()}
    present = Participant.objects.filter(tenant=tenant).values_list("pk", flat=True)
    here = {str(key) for key in present} if tenant else set()
    for fqid, person in given.items():
        if fqid not in fqids or person.participant_id not in {"", *here}:
            raise UsageError(
                f"{options.file} has {fqid}: {person.participant_id or 'nothing'}, and one of the "
                "two is not in the export, or not in the tenant here.",
                fix="Write addresses of the old server, and IDs that `scaiwave admin "
                "list-participants` shows here.",
            )
    by_scaikey_id, by_email = _load_people(tenant, with_email=options.match_email)
    found, result = {}, PeopleMap()
    for fqid, key in fqids.items():
        row = export.people[key]
        match = known.get(str(key)) or by_scaikey_id.get(row["scaikey_id"])
        if not match and fqid in given:
            match = given[fqid].participant_id
        if not match and row["participant_type"] == ParticipantType.HUMAN:
            match = by_email.get(row["email"].casefold())
        if match:
            found[key] = UUID(str(match))
    counts = Counter(found.values())
    for fqid, key in fqids.items():
        if key in found and counts[found[key]] > 1:
            result.refused.append({"fqid": fqid, "reason": f"{found[key]} is someone else too"})
        elif key in found:
            result.mapped[key] = found[key]
    others = [row for key, row in export.people.items() if key not in found]
    result.placeholders = len(others)
    taken = _find_taken(others, tenant)
    result.refused += [
        {"fqid": _format_fqid(row, source), "reason": f"{taken[address]} is someone here"}
        for row in others
        if (address := _format_fqid(row, get_server_name())) in taken
    ]
    return result


def _format_fqid(row: Row, own_server_name: str) -> str:
    return f"@{row['local_id']}:{row['server_name'] or own_server_name}"


def _load_people(
    tenant: Tenant | None, *, with_email: bool
) -> tuple[dict[str, UUID], dict[str, UUID]]:
    """Return the tenant's own people by their ScaiKey ID, and by an address that only one has."""
    by_scaikey_id, by_email = {}, defaultdict(list)
    rows = Participant.objects.filter(tenant=tenant) if tenant else Participant.objects.none()
    active = set(rows.filter(active_q()).values_list("pk", flat=True)) if with_email else set()
    for person in rows.only("pk", "scaikey_id", "email", "participant_type"):
        if is_derived(person.pk):
            continue
        if person.scaikey_id:
            by_scaikey_id[person.scaikey_id] = person.pk
        if person.pk in active and person.email and person.scaikey_id:
            by_email[person.email.casefold()].append(person.pk)
    return by_scaikey_id, {email: keys[0] for email, keys in by_email.items() if len(keys) == 1}


def _find_taken(rows: list[Row], tenant: Tenant | None) -> dict[str, str]:
    """Return the addresses of placeholders that someone here has already."""
    own, taken = get_server_name(), {}
    for batch in batched(sorted({row["local_id"] for row in rows})):
        for person in Participant.objects.filter(local_id__in=batch):
            if tenant is None or person.tenant_id != tenant.pk or not is_derived(person.pk):
                taken[person.fqid(own)] = person.fqid(own)
    return taken
