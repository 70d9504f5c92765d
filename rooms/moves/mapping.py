"""The IDs of an exported tenant here, and its people.

An ID is computed from the ID of the new tenant and the old one, as `IdMapper` does for a room, so
nothing has to remember it. Rows that exist here already are the exception: people, and in a tenant
that was synced before also groups, roles and who has them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, UniqueConstraint, Value
from django.db.models.functions import Cast, Replace, Substr
from django.db.models.lookups import Exact

from rooms.conversion.people import read_people_map
from rooms.errors import TenantImportRefused
from rooms.imports.id_mapping import IdMapper
from rooms.lookup.authors import IMPORTED_VERSION
from rooms.models import TenantImport
from rooms.moves.rows import ExportedRows, Row, RowTable
from scaiwave.config.server_name import find_server_name, normalize_server_name
from scaiwave.core.errors import UsageError
from scaiwave.core.sql import batched
from tenants.lookup.serializers import get_server_name
from tenants.lookup.validators import clean_avatar_url
from tenants.models import Group, Participant, ParticipantType, Role, RoleGrant, RoleSource, Tenant
from tenants.models.directory import ACTIVE_STATUSES
from tenants.roles.queries.roles import BUILT_IN, SERVER_ROLES

DERIVED = Exact(Substr(Replace(Cast("pk", CharField()), Value("-")), 13, 1), "8")
"""Match rows whose ID is derived: see `is_derived`."""
_IDENTITY = {
    "people": ("participant_type", "scaikey_id", "local_id", "server_name"),
    "groups": ("scaikey_id",),
    "roles": ("slug",),
}
"""What rights on this server may rest on, so no later export changes it."""
_PERSON_COLUMNS = (
    "scaikey_id", "email", "participant_type", "absent_since", "suspended_by_hand_at",
    "scaikey_status",
)  # fmt: skip


def is_derived(key: UUID) -> bool:
    """Return whether an import has computed this ID; rows of this server have another version."""
    return key.version == IMPORTED_VERSION


@dataclass
class TenantMapping:
    """`existing` has the rows here that are not computed, by the old IDs. `left_out` are grants.

    People, and all else that has a ScaiKey ID, are here as removed from ScaiKey since `absent_at`:
    they can't sign in until a sync finds them. `synced` are the old IDs of people with a ScaiKey
    ID, whose grants from ScaiKey a sync revokes. `granted_by` is who grants all roles.
    """

    tenant_id: UUID
    absent_at: datetime
    existing: dict[UUID, UUID] = field(default_factory=dict)
    left_out: frozenset[UUID] = frozenset()
    synced: frozenset[UUID] = frozenset()
    granted_by: str = ""

    def __post_init__(self) -> None:
        self.new_id = IdMapper(self.tenant_id)

    def is_own(self, key: UUID) -> bool:
        """Return whether it is the ID of a row that an import has written."""
        return is_derived(key)

    def __call__(self, old: UUID) -> UUID:
        return self.existing.get(old) or UUID(self.new_id(str(old)))

    def map_row(self, table: RowTable, row: Row) -> Row:
        changes: Row = {"id": self(row["id"])}
        if "tenant_id" in row:
            changes["tenant_id"] = self.tenant_id
        changes |= {name: row[name] and self(row[name]) for name in table.references}
        is_person = row.get("participant_type") == ParticipantType.HUMAN
        if table.model is Participant:
            changes["avatar_url"] = clean_avatar_url(row["avatar_url"])
            for name in ("suspended_by_hand_at", "messages_erased_at"):
                changes[name] = row[name] and min(row[name], self.absent_at)
            # Only a purge here erases a name, and it must find the person.
            changes |= {"purged_at": None, "server_name": normalize_server_name(row["server_name"])}
        if table.model in (Participant, Group) and (is_person or row["scaikey_id"] is not None):
            changes["absent_since"] = self.absent_at
            if table.model is Participant:
                changes["created_at"] = self.absent_at  # Never present here: see `DECIDED_HERE`.
        if table.model is RoleGrant:
            changes["granted_by"] = self.granted_by
            if row["participant_id"] not in self.synced:
                changes["source"] = RoleSource.MANUAL
        if table.model is Role:
            changes["is_built_in"] = row["slug"] in BUILT_IN
            changes["name"] = BUILT_IN.get(row["slug"], row["name"])
        return row | changes

    def iter_rows(self, export: ExportedRows, table: RowTable) -> Iterator[Row]:
        """Yield the rows as they are written here, without rows that exist or are left out."""
        for row in export.iter_rows(table):
            if row["id"] not in self.existing and row["id"] not in self.left_out:
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


class SameTenant(TenantMapping):
    """The tenant that was exported itself: every row is as it was."""

    def is_own(self, key: UUID) -> bool:
        return True

    def __call__(self, old: UUID) -> UUID:
        return old

    def map_row(self, table: RowTable, row: Row) -> Row:
        return row


def check_identity(
    export: ExportedRows, mapping: TenantMapping, stale_people: Sequence[UUID]
) -> None:
    """Raise `TenantImportRefused` if a row of an earlier import is about something else now.

    Nor may a person go, or come back under another ID, about whom something was decided here.
    """
    grants = RoleGrant.objects.filter(participant=OuterRef("pk")).exclude(DERIVED)
    others = Q(~Exists(grants), suspended_by_hand_at=None, purged_at=None, messages_erased_at=None)
    for part in batched(stale_people):
        people = Participant.objects.filter(pk__in=part).exclude(others)
        if kept := people.order_by("pk").first():
            raise TenantImportRefused(
                f"Person {kept.pk} was suspended, purged or granted a role here, or their "
                "messages were erased, and the export no longer has this person.",
                fix="Undo it with `scaiwave admin resume-participant` or `scaiwave role revoke`, "
                "and import again. After an erasure, export the tenant again with this person.",
            )
    for name, columns in _IDENTITY.items():
        model = export.tables[name].model
        present = model._base_manager.filter(tenant_id=mapping.tenant_id)
        if model is Participant:
            present = present.filter(purged_at=None)
        here = {key: values for key, *values in present.values_list("pk", *columns)}
        for row in mapping.iter_rows(export, export.tables[name]):
            if here.get(row["id"]) not in (None, [row[column] for column in columns]):
                raise _build_identity_error(name, row["id"])


def _build_identity_error(name: str, key: UUID) -> TenantImportRefused:
    return TenantImportRefused(
        f"The row {key} of {name} has another {' or '.join(_IDENTITY[name])} than in the import "
        "before.",
        fix="Undo this change on the old server, export the tenant again, and import again.",
    )


def find_server_grants(export: ExportedRows) -> frozenset[UUID]:
    """Return grants that are not imported: their roles are about other tenants too."""
    roles = export.iter_rows(export.tables["roles"])
    keys = {row["id"] for row in roles if row["slug"] in SERVER_ROLES}
    grants = export.iter_rows(export.tables["grants"])
    return frozenset(row["id"] for row in grants if row["role_id"] in keys)


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
    fqids = {_format_fqid(row, source): key for key, row in export.people.items()}
    present = Participant.objects.filter(tenant=tenant) if tenant else Participant.objects.none()
    types = {str(key): kind for key, kind in present.values_list("pk", "participant_type")}
    given = _read_choices(options.file, fqids, types) if options.file else {}
    by_scaikey_id, by_email = _load_people(present, with_email=options.match_email)
    there = Counter(_get_email(row) for row in export.people.values())
    found, result = {}, PeopleMap()
    for fqid, key in fqids.items():
        row, chosen = export.people[key], given.get(fqid)
        match = known.get(str(key)) or by_scaikey_id.get(row["scaikey_id"])
        if chosen is not None and (reason := _refuse_choice(chosen, match, row, types)):
            result.refused.append({"fqid": fqid, "reason": reason})
        if not match and chosen is not None:
            match = chosen
        elif not match and there[email := _get_email(row)] == 1:
            match = by_email.get(email)
        if match:
            found[key] = UUID(str(match))
    counts = Counter(found.values())
    for fqid, key in fqids.items():
        if key in found and counts[found[key]] > 1:
            result.refused.append({"fqid": fqid, "reason": f"{found[key]} is someone else too"})
    result.mapped = {key: here for key, here in found.items() if counts[here] == 1}
    others = [row for key, row in export.people.items() if key not in found]
    result.placeholders = len(others)
    result.refused += _refuse_taken(others, tenant, source)
    return result


def record_people(record: TenantImport, export: ExportedRows, people: PeopleMap) -> None:
    """Keep who people are here, and who they were there. Raises `TenantImportRefused`."""
    for old, new in people.mapped.items():
        row = export.people[old]
        values = repr([row[column] for column in _IDENTITY["people"]]).encode()
        name = str(old) if row["server_name"] else f"@{row['local_id']}"
        facts = {str(old): str(new), name: str(new), f"#{old}": sha256(values).hexdigest()}
        if any(record.people.setdefault(key, fact) != fact for key, fact in facts.items()):
            raise _build_identity_error("people", new)
    record.save(update_fields=["people"])


def _read_choices(file: Path, fqids: Collection[str], here: Collection[str]) -> dict[str, str]:
    """Return who the people of the old server are here. Raises `UsageError`."""
    given = {fqid: person.participant_id for fqid, person in read_people_map(file).items()}
    for fqid, chosen in given.items():
        if fqid not in fqids or (chosen and chosen not in here):
            raise UsageError(
                f"{file} has {fqid}: {chosen or 'nothing'}, and one of the two is not in the "
                "export, or not in the tenant here.",
                fix="Write addresses of the old server, and IDs that `scaiwave admin "
                "list-participants` shows here.",
            )
    return given


def _refuse_choice(
    chosen: str, match: UUID | str | None, row: Row, types: Mapping[str, str]
) -> str | None:
    """Return why someone can't be the one that the file has."""
    if match and chosen not in {"", str(match)}:
        return f"{match} by an earlier import or the ScaiKey ID, not {chosen} as the file says"
    if chosen and types[chosen] != row["participant_type"]:
        return f"{chosen} is not a {row['participant_type']} but a {types[chosen]}"
    return None


def _format_fqid(row: Row, own_server_name: str) -> str:
    return f"@{row['local_id']}:{row['server_name'] or own_server_name}"


def _get_email(row: Row) -> str:
    """Return the address of an active person from ScaiKey, which has verified it; else nothing.

    The address of someone who has left may belong to someone else by now.
    """
    is_active = (
        row["absent_since"] is None
        and row["suspended_by_hand_at"] is None
        and row["scaikey_status"] in ACTIVE_STATUSES
    )
    is_known = is_active and row["scaikey_id"] and row["participant_type"] == ParticipantType.HUMAN
    return row["email"].casefold() if is_known else ""


def _load_people(
    people: QuerySet[Participant], *, with_email: bool
) -> tuple[dict[str, UUID], dict[str, UUID]]:
    """Return the tenant's own people by their ScaiKey ID, and by an address that only one has."""
    by_scaikey_id, by_email = {}, defaultdict(list)
    rows = people.values("pk", *_PERSON_COLUMNS)
    for row in rows if with_email else rows.exclude(scaikey_id=None):
        if is_derived(row["pk"]):
            continue
        if row["scaikey_id"]:
            by_scaikey_id[row["scaikey_id"]] = row["pk"]
        if with_email and (email := _get_email(row)):
            by_email[email].append(row["pk"])
    return by_scaikey_id, {email: keys[0] for email, keys in by_email.items() if len(keys) == 1}


def _refuse_taken(rows: list[Row], tenant: Tenant | None, source: str) -> Iterator[Row]:
    """Yield the placeholders whose address someone here has already, or may get."""
    own, taken = get_server_name(), {}
    own_names = set(map(normalize_server_name, (own, source)))
    for batch in batched(sorted({row["local_id"] for row in rows})):
        people = Participant.objects.select_related("tenant").filter(local_id__in=batch)
        for person in people:
            if tenant is None or person.tenant_id != tenant.pk or not is_derived(person.pk):
                taken[person.fqid(own)] = person.tenant.slug
    for row in rows:
        server, reason = normalize_server_name(row["server_name"]), ""
        if server and (server in own_names or not find_server_name(server)):
            reason = "this can't be the name of a third server"
        elif slug := taken.get(address := f"@{row['local_id']}:{server or own}"):
            reason = f"{address} is someone in tenant {slug} here"
        if reason:
            yield {"fqid": _format_fqid(row, source), "reason": reason}
