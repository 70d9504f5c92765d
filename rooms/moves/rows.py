"""The rows of a tenant's export: a line of JSON each, with the columns of their table.

They are read as untrusted input. Every value has the type and length of its column, every row
belongs to the tenant, and the rows that it refers to are in the export.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from django.apps import apps
from django.db import models
from django.db.models import Model, QuerySet
from msgspec import Meta

from rooms.bundle.format import MIB
from rooms.errors import TenantExportDamaged, TenantReferenced
from rooms.lookup.export_metadata import export_blocker
from rooms.models import Room, Workspace
from rooms.moves.index import FileInfo, TenantIndex, name_rows
from scaiwave.config.server_name import normalize_server_name
from scaiwave.core import strict_json
from scaiwave.core.strict_json import StrictJSONError
from scaiwave.extensions import TENANT_TABLES, TenantTable
from tenants.lookup.validators import is_role_slug
from tenants.models import Participant, Partner, Tenant

Row = dict[str, Any]
_MAX_LINE_BYTES = 8 * MIB
_MAX_INTEGERS = {
    "PositiveSmallIntegerField": 2**15 - 1,
    "PositiveIntegerField": 2**31 - 1,
    "PositiveBigIntegerField": 2**63 - 1,
}
_MAX_VALUES = {"power_level": 100}
_FIRST_TIME, _END_TIME = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Databases and time zones would shift others out of the range that Python has."""
_FORMS: Mapping[str, Callable[[str], object]] = {
    "local_id": lambda text: text.isprintable() and ":" not in text,
    "email": str.isprintable,
    "contact_email": str.isprintable,
    "slug": is_role_slug,
}
"""What texts must be like that people recognise others or rooms by. Other slugs are checked when
they are imported, and workspaces may have reserved ones."""
_OWN_LOCAL_ID = re.compile(r"[!-9;-~]+")
"""Local IDs of people without a server: they become addresses of this one."""
ROOM_COLUMNS = {"rooms": "id", "room-members": "room_id"}
"""The tables without the rows of rooms that are not exported, and their columns with the room."""
_encode = msgspec.json.Encoder().encode


class RowTable:
    """A table with a file."""

    def __init__(self, table: TenantTable) -> None:
        self.name, self.tenant = table.file, table.tenant
        self.model: type[Model] = apps.get_model(table.model)
        fields = self.model._meta.concrete_fields
        self.columns = [each.attname for each in fields]
        self.times = [each.attname for each in fields if isinstance(each, models.DateTimeField)]
        constraints = self.model._meta.constraints
        self.unique = [["id"]] + [
            [self.model._meta.get_field(name).attname for name in each.fields]
            for each in constraints
            if isinstance(each, models.UniqueConstraint)
        ]
        self.references: dict[str, type[Model]] = {
            each.attname: each.related_model
            for each in fields
            if each.related_model and each.related_model not in (Tenant, Partner)
        }

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        fields = [(each.attname, _find_type(each)) for each in self.model._meta.concrete_fields]
        row = msgspec.defstruct(self.model.__name__, fields, forbid_unknown_fields=True)
        return msgspec.json.Decoder(row)

    def select(self, tenant_id: UUID) -> QuerySet[Any]:
        rows = self.model._base_manager.filter(**{self.tenant: tenant_id}).order_by("pk")
        return rows.values(*self.columns)

    def decode(self, line: bytes) -> Row:
        if b"\\u" in line:  # Only here can a text have characters that a database refuses.
            strict_json.loads(line)
        row = msgspec.structs.asdict(self._decoder.decode(line))
        times = (time for name in self.times if (time := row[name]) is not None)
        if not all(_FIRST_TIME <= time < _END_TIME for time in times):
            raise StrictJSONError("a time is out of range")
        return row


def load_tables() -> dict[str, RowTable]:
    """Return the tables with a file by its name, in the order of insertion."""
    tables = [RowTable(table) for table in iter_tenant_tables() if table.file]
    return {table.name: table for table in tables}


def iter_tenant_tables() -> Iterator[TenantTable]:
    for extension in TENANT_TABLES:
        yield from extension.load()()


def iter_tables() -> Iterator[tuple[str, Callable[[UUID], QuerySet[Model]]]]:
    """Yield every table whose rows are erased: its name, and what selects them in a tenant.

    A table comes before the tables that it refers to.
    """
    for table in reversed(list(iter_tenant_tables())):
        if not table.is_record:
            manager, column = apps.get_model(table.model)._base_manager, table.tenant
            yield table.model, lambda key, m=manager, c=column: m.filter(**{c: key})  # type: ignore[misc]


def require_unreferenced(tenant: Tenant) -> None:
    """Raises `TenantReferenced` if a row of another tenant refers to a row of this one.

    Derived rows without a key in the database, such as search documents, have the same tenant.
    """
    models = (apps.get_model(table.model) for table in iter_tenant_tables())
    own = {model for model in models if hasattr(model, "tenant")}
    for model in own:
        for column in model._meta.concrete_fields:
            if column.related_model in own and column.db_constraint:
                rows = model._base_manager.filter(**{f"{column.name}__tenant": tenant})
                if rows.exclude(tenant=tenant).exists():
                    raise TenantReferenced(
                        f"Rows of other tenants refer to tenant {tenant.slug}: "
                        f"{model._meta.label}, {column.name}."
                    )


def _find_type(column: Any) -> Any:
    """Return the type of the values of a column, with its limits."""
    kind: Any
    if column.related_model or isinstance(column, models.UUIDField):
        kind = UUID
    elif isinstance(column, models.DateTimeField):
        kind = Annotated[datetime, Meta(tz=True)]
    elif isinstance(column, models.BooleanField):
        kind = bool
    elif isinstance(column, models.JSONField):
        kind = type(column.get_default())
    elif isinstance(column, models.CharField) and column.choices:
        kind = Literal[tuple(value for value, _ in column.choices)]
    elif isinstance(column, models.CharField):
        kind = Annotated[str, Meta(max_length=column.max_length)]
    elif isinstance(column, models.TextField):
        kind = str
    else:
        maximum = _MAX_INTEGERS[column.get_internal_type()]
        kind = Annotated[int, Meta(ge=0, le=_MAX_VALUES.get(column.name, maximum))]
    return kind | None if column.null else kind


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> FileInfo:
    """Write a new file. Raises OSError."""
    digest, size, count = sha256(), 0, 0
    with path.open("xb") as file:
        path.chmod(0o600)
        for row in rows:
            line = _encode(row) + b"\n"
            digest.update(line)
            size, count = size + len(line), count + 1
            file.write(line)
    return FileInfo(digest.hexdigest(), size, count)


@dataclass
class ExportedRows:
    """The tables of an export. `people` are the rows of participants, by ID."""

    directory: Path
    index: TenantIndex
    tables: dict[str, RowTable]
    people: dict[UUID, Row] = field(default_factory=dict)
    tenant: Row = field(default_factory=dict)
    _ids: dict[type[Model], set[UUID]] = field(default_factory=dict)

    def iter_rows(self, table: RowTable) -> Iterator[Row]:
        """Yield the rows. Raises `TenantExportDamaged`, also at the end, for another file."""
        name, info = name_rows(self.index.sequence, table.name), self.index.files[table.name]
        digest, number = sha256(), 0
        with (self.directory / name).open("rb") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                number += 1
                digest.update(line)
                try:
                    yield table.decode(line)
                except (msgspec.MsgspecError, StrictJSONError, RecursionError) as error:
                    raise TenantExportDamaged(f"Line {number:,} of {name}: {error}.") from None
        if (digest.hexdigest(), number) != (info.sha256, info.rows):
            raise TenantExportDamaged(f"{name} was changed while it was read.")

    def check(self) -> None:
        """Read every row, and check that it belongs to the tenant and refers to nothing else."""
        fqids: set[tuple[str, str]] = set()
        targets = {model for each in self.tables.values() for model in each.references.values()}
        for table in self.tables.values():
            known = self._ids.setdefault(table.model, set())
            seen: set[int] = set()
            for row in self.iter_rows(table):
                self._check_row(table, row)
                self._check_unique(table, row, seen)
                if table.model in targets:
                    known.add(row["id"])
                if table.model is Participant:
                    self.people[row["id"]] = row
                    fqid = (row["local_id"], normalize_server_name(row["server_name"]))
                    if not fqid[1] and not _OWN_LOCAL_ID.fullmatch(fqid[0]):
                        raise TenantExportDamaged(f"{fqid[0]!a} is not a local ID.")
                    if fqid in fqids:
                        raise TenantExportDamaged(f"people has @{':'.join(fqid)} twice.")
                    fqids.add(fqid)
        if set(map(str, self._ids[Room])) != {room.id for room in self.index.exported}:
            raise TenantExportDamaged("rooms does not have the rooms of the index.")
        if not self.tenant:
            raise TenantExportDamaged("tenant has no row.")

    def _check_unique(self, table: RowTable, row: Row, seen: set[int]) -> None:
        """`seen` has hashes of values, which need a fraction of their memory."""
        for number, names in enumerate(table.unique):
            values = [row[name] for name in names]
            if None in values or "" in values:
                continue
            if (key := hash((number, *values))) in seen:
                raise TenantExportDamaged(
                    f"The row {row['id']} of {table.name} has the same {', '.join(names)} as "
                    "another one."
                )
            seen.add(key)

    def _check_row(self, table: RowTable, row: Row) -> None:
        tenant_id = row["id"] if table.model is Tenant else row["tenant_id"]
        if str(tenant_id) != self.index.tenant.id:
            raise TenantExportDamaged(
                f"The row {row['id']} of {table.name} belongs to another tenant, {tenant_id}."
            )
        if table.model is Tenant:
            self.tenant = row
        elif table.model is Room and (row["deleted_at"] or export_blocker(Room(**row))):
            raise TenantExportDamaged(f"Room {row['id']} may not be in an export.")
        for name, is_valid in _FORMS.items():
            is_checked = name in row and (name != "slug" or table.model is Workspace)
            if is_checked and not is_valid(row[name]):
                raise TenantExportDamaged(
                    f"The row {row['id']} of {table.name} has an invalid {name}: {row[name]!a}."
                )
        for column, model in table.references.items():
            if (value := row[column]) is not None and value not in self._ids[model]:
                raise TenantExportDamaged(
                    f"The row {row['id']} of {table.name} refers to {column} {value}, which is "
                    "not in the export."
                )
