"""Temporary tables with what ScaiKey returned, which the database compares with its own rows.

Other sessions can't see them, and they end with the connection.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any, TypeVar

from django.db import Error, IntegrityError, connection, transaction

from scaiwave.core.sql import batched, execute

# Columns of every temporary table. `n` numbers the rows as they arrive; `new_id` is the primary key
# if the record turns out to be new. A column without a type is text.
TABLES: dict[str, tuple[str, ...]] = {
    "stage_partners": (
        "n integer",
        "new_id uuid",
        "scaikey_id",
        "name",
        "slug",
        "scaikey_status",
        "contact_email",
        "max_tenants integer",
        "max_users_per_tenant integer",
        "max_applications_per_tenant integer",
        "slug_problem",
    ),
    "stage_tenants": (
        "n integer",
        "new_id uuid",
        "scaikey_id",
        "name",
        "slug",
        "scaikey_status",
        "contact_email",
        "partner_scaikey_id",
        "partner_id uuid",
        "skipped integer",
        "slug_problem",
    ),
    "stage_participants": (
        "n integer",
        "new_id uuid",
        "scaikey_id",
        "tenant_scaikey_id",
        "display_name",
        "email",
        "avatar_url",
        "scaikey_status",
        "roles",
        "local_id",
    ),
    "stage_groups": (
        "n integer",
        "new_id uuid",
        "scaikey_id",
        "tenant_scaikey_id",
        "name",
        "group_type",
    ),
    "stage_memberships": (
        "n integer",
        "new_id uuid",
        "group_scaikey_id",
        "member_scaikey_id",
        "is_group integer",
    ),
    # One row for each role of a person; the ids are for grants and roles that turn out to be new.
    "stage_roles": (
        "n integer",
        "grant_id uuid",
        "role_id uuid",
        "person_n integer",
        "slug",
        "name",
        "is_built_in integer",
    ),
    "role_plan": (
        "action",
        "participant_id uuid",
        "tenant_id uuid",
        "person_n integer",
        "n integer",
        "grant_id uuid",
    ),
    # The changes to make, except for memberships to add; `tenant_id` and the names are for the
    # history.
    "sync_plan": (
        "kind",
        "action",
        "row_id uuid",
        "tenant_id uuid",
        "n integer",
        "scaikey_id",
        "name",
        "fields",
        "reason",
        "detail",
        "group_id uuid",
        "member_id uuid",
    ),
    # Memberships to add: the most rows of a first sync by far, so all else of them is read from the
    # staged membership.
    "new_edges": (
        "n integer",
        "is_group integer",
        "row_id uuid",
        "tenant_id uuid",
        "group_id uuid",
        "member_id uuid",
    ),
    # The records of a run for single records; see targets.py.
    "targets": ("kind", "scaikey_id", "position integer"),
    # Records of a list that can't be used; their rows stay unchanged.
    "unusable_records": ("kind", "scaikey_id", "detail"),
    # Lists that can't be read: members of a group, people or groups of a tenant, tenants of a
    # partner. `kind` is what they list.
    "unreadable_lists": ("kind", "scaikey_id", "detail"),
    # Rows that would lose access by the lists, and what the look-ups by id showed: `state` is open,
    # lost, exists, postponed, inconsistent, kept or assumed (see claims.py). Those about edges also
    # proven, and returned (see edge_claims.py).
    "loss_claims": (
        "kind",
        "scaikey_id",
        "row_id uuid",
        "tenant_id uuid",
        "is_absent integer",
        "is_moved integer",
        "is_inactive integer",
        "role_losses integer",
        "state",
        "note",
        "detail",
    ),
    "edge_claims": (
        "edge_id uuid",
        "tenant_id uuid",
        "group_scaikey_id",
        "member_scaikey_id",
        "is_group integer",
        "state",
        "note",
    ),
    # The open claims of one kind in random order; see claims.py.
    "claim_order": ("n integer", "scaikey_id"),
    # Tenants whose people lose no access: removals are turned off, or a list can't be read.
    "kept_tenants": ("tenant_id uuid", "note"),
    # Tenants that can't get their slug; see set_aside.py.
    "skipped_tenants": ("tenant_id uuid",),
    # One batch of look-ups, with what each proves: found, removed or unknown. For groups that were
    # read again it is the state of the claims about their edges.
    "lookups": ("kind", "scaikey_id", "result", "note", "detail"),
    # `detail` is the tenant to which a record has moved, in a run for one tenant.
    "confirmed_removals": ("kind", "scaikey_id", "reason", "detail"),
    # What the plan takes from someone, with what was decided; see losses.py.
    "removals": (
        "kind",
        "row_id uuid",
        "subject_id uuid",
        "tenant_id uuid",
        "scaikey_id",
        "person_scaikey_id",
        "name",
        "loss",
        "cause",
        "destination",
        "state",
        "limit_code",
        "skip_reason",
        "root_id uuid",
        "is_assumed integer",
    ),
    # Every loss of access in the plan: people, grants, memberships, groups, tenants, partners.
    "losses": ("kind", "tenant_id uuid", "row_id uuid"),
    # Whether partners and tenants let their people in, before and after the plan; and the people
    # of groups that are no longer a member of another.
    "partner_access": ("partner_id uuid", "was_active integer", "is_active integer"),
    "tenant_access": ("tenant_id uuid", "was_active integer", "is_active integer"),
    "affected_through_groups": ("tenant_id uuid", "person_id uuid"),
    # Tenants whose rows may be deactivated; the tenants and groups that ScaiKey returned.
    "scope_tenants": ("tenant_id uuid",),
    "tenant_map": ("scaikey_id", "tenant_id uuid", "is_first integer"),
    "group_map": ("scaikey_id", "group_id uuid", "tenant_id uuid"),
    # Groups whose members were fetched, and their rows.
    "fetched_groups": ("scaikey_id", "scim_tenant_id"),
    "fetched_group_rows": ("group_id uuid", "scaikey_id"),
    # New people whose preferred local id is taken, and what is appended to it.
    "taken_local_ids": ("n integer", "tenant_id uuid", "scaikey_id"),
    "local_id_suffixes": ("n integer", "suffix"),
    # The removals of a plan file.
    "reviewed_removals": ("subject_id uuid", "loss", "cause", "destination", "name"),
}

_IDENTITIES = {
    "stage_partners": ("scaikey_id",),
    "stage_tenants": ("scaikey_id",),
    "stage_participants": ("scaikey_id",),
    "stage_groups": ("scaikey_id",),
    "stage_memberships": ("group_scaikey_id", "member_scaikey_id", "is_group"),
}

# Their rows are found by `n`. On SQLite it is the number of the row, which takes no index.
_NUMBERED = (*_IDENTITIES, "stage_roles", "claim_order", "taken_local_ids", "local_id_suffixes")

# These are small, or empty in a run without changes, so they can be indexed before they are filled.
_SMALL_INDEXES = {
    "sync_plan": ("kind", "action", "n"),
    "scope_tenants": ("tenant_id",),
    "tenant_map": ("scaikey_id",),
    "group_map": ("scaikey_id",),
    "fetched_groups": ("scaikey_id",),
    "fetched_group_rows": ("group_id",),
    "targets": ("kind", "scaikey_id"),
    "unusable_records": ("kind", "scaikey_id"),
    "loss_claims": ("kind", "scaikey_id"),
    "edge_claims": ("group_scaikey_id",),
    "kept_tenants": ("tenant_id",),
    "lookups": ("kind", "scaikey_id"),
    "confirmed_removals": ("kind", "scaikey_id"),
    "losses": ("row_id",),
    "removals": ("row_id",),
    "partner_access": ("partner_id",),
    "tenant_access": ("tenant_id",),
}

BATCH = 5000

COPY_ROWS = 1000
"""Rows in one statement that fills a temporary table. While it runs nothing that was fetched is
taken, so a long one would leave the threads that fetch idle."""

CACHE_KIB = 8000
"""What SQLite keeps in memory of the database while a sync runs, and as much again of the temporary
tables until the connection is closed: each row is written at random places of some indexes."""
_DEFAULT_CACHE_KIB = 2000

T = TypeVar("T")


@contextmanager
def temporary_tables() -> Iterator[None]:
    """Create all tables, empty, and drop them afterwards."""
    try:
        _create_tables()
        yield
    except BaseException:
        _abandon_tables()
        raise
    _drop_tables()


def _abandon_tables() -> None:
    """Drop the tables after a failure, or close the connection, which drops them as well."""
    try:
        _drop_tables()
    except Error:
        connection.close()


def _create_tables() -> None:
    if connection.vendor == "postgresql":
        # PostgreSQL overestimates some of these statements so much that compiling them takes as
        # long as running them.
        execute("SET jit = off")
    else:
        # What they hold is in the database too, so overwriting it when they are dropped is of no
        # use. Some builds of SQLite do so by default.
        execute("PRAGMA temp.secure_delete = OFF")
        execute(f"PRAGMA main.cache_size = -{CACHE_KIB}")
        execute(f"PRAGMA temp.cache_size = -{CACHE_KIB}")
    indexes = [
        f"CREATE INDEX {name}_{columns[0]} ON {name} ({', '.join(columns)})"
        for name, columns in _SMALL_INDEXES.items()
    ]
    _define([*_list_drops(TABLES), *_list_tables(TABLES), *indexes])


def _drop_tables() -> None:
    _define(_list_drops(TABLES))
    if connection.vendor == "postgresql":
        execute("RESET jit")
    else:
        # The cache of the temporary tables stays until the connection is closed: SQLite 3.46 loses
        # their changed pages if it is reduced and a transaction changes nothing in them after that.
        execute(f"PRAGMA main.cache_size = -{_DEFAULT_CACHE_KIB}")


def _define(statements: list[str]) -> None:
    """Create or drop tables. PostgreSQL gets all statements at once: each alone is a transaction,
    which waits for the network and for the disk."""
    for sql in ["; ".join(statements)] if connection.vendor == "postgresql" else statements:
        execute(sql)


def _list_drops(tables: Iterable[str]) -> list[str]:
    return [f"DROP TABLE IF EXISTS {_qualify(name)}" for name in tables]


def _list_tables(tables: dict[str, tuple[str, ...]]) -> list[str]:
    statements = []
    for name, columns in tables.items():
        definitions = ", ".join(_define_column(column) for column in columns)
        if name in _NUMBERED and connection.vendor == "sqlite":
            definitions = definitions.replace("n integer", "n INTEGER PRIMARY KEY", 1)
        statements.append(f"CREATE TEMPORARY TABLE {name} ({definitions})")
    return statements


def _qualify(name: str) -> str:
    """Return the name with its schema, so that it never means a permanent table."""
    return f"pg_temp.{name}" if connection.vendor == "postgresql" else f"temp.{name}"


def _define_column(column: str) -> str:
    if " " not in column:
        return f"{column} text"
    if connection.vendor == "sqlite":
        return column.replace(" uuid", " text")
    return column


def find_kept_note(table: str) -> str:
    """SQL for why access is kept in the tenant of a row; a partner is kept for any tenant."""
    note = "(SELECT min(k.note) FROM kept_tenants k"
    return f"COALESCE({note} WHERE k.tenant_id = {table}.tenant_id), {note}))"


def copy_rows(table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows into a temporary table; each row has a value for every column.

    A batch is collected before a statement begins, so that no statement or transaction stays open
    while the rows arrive over a slow network.
    """
    columns = [column.split(" ")[0] for column in TABLES[table]]
    # If the database fails, close the source at once: it may own threads that fetch.
    with closing(_make_closable(rows)) as source:
        for batch in batched(source, COPY_ROWS):
            if connection.vendor == "postgresql":
                _copy(table, columns, batch)
            else:
                _insert(table, columns, batch)


def _make_closable(rows: Iterable[T]) -> Generator[T]:
    """Yield the rows from a generator, which can be closed whatever iterable they come from."""
    yield from rows


def _copy(table: str, columns: list[str], batch: list[Sequence[Any]]) -> None:
    with (
        connection.wrap_database_errors,  # Django does so for its own methods only.
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
    ):
        for row in batch:
            copy.write_row(row)


def _insert(table: str, columns: list[str], batch: list[Sequence[Any]]) -> None:
    marks = ", ".join("?" * len(columns))
    with _sqlite_transaction() as raw:
        raw.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)


@contextmanager
def _sqlite_transaction() -> Iterator[Any]:
    """Run inserts in one transaction that takes no lock on the database file."""
    connection.ensure_connection()
    raw = connection.connection
    if raw.in_transaction:
        yield raw
        return
    raw.execute("BEGIN DEFERRED")
    try:
        yield raw
    except BaseException:
        raw.execute("ROLLBACK")
        raise
    raw.execute("COMMIT")


def deduplicate(table: str) -> int:
    """Index a loaded table and delete repeated rows; return how many were deleted."""
    identity = _IDENTITIES[table]
    deleted = 0
    if not _create_unique_index(table, identity):
        deleted = execute(
            f"DELETE FROM {table} WHERE n IN (SELECT n FROM ("
            f"SELECT n, row_number() OVER (PARTITION BY {', '.join(identity)} ORDER BY n) AS place "
            f"FROM {table}) AS r WHERE place > 1)"
        )
        _create_unique_index(table, identity)
    index_numbers(table)
    return deleted


def index_numbers(table: str) -> None:
    """Let rows be found by `n` once the table is filled; on SQLite they are anyway."""
    if connection.vendor == "postgresql":
        execute(f"CREATE INDEX IF NOT EXISTS {table}_n ON {table} (n)")
        analyze(table)


def index_filled(table: str, *columns: str) -> None:
    """Index a table that was filled, unless it is, for look-ups that only some runs make.

    Call it before a statement that would otherwise read the table once for each of many rows.
    """
    names = "_".join(column.removesuffix("_id") for column in columns)
    execute(f"CREATE INDEX IF NOT EXISTS {table}_by_{names} ON {table} ({', '.join(columns)})")


def index_plan_rows() -> None:
    """Let the rows of the plan be found by their ID."""
    index_filled("sync_plan", "kind", "row_id", "action")


def index_plan_records() -> None:
    """Let the rows of the plan be found by their ScaiKey ID."""
    index_filled("sync_plan", "scaikey_id", "kind", "action")


def _create_unique_index(table: str, columns: tuple[str, ...]) -> bool:
    """Create an index unless rows are repeated; return whether it was created.

    This takes one pass over the table. On SQLite a transaction would lock the database file.
    """
    with_rollback = transaction.atomic() if connection.vendor == "postgresql" else nullcontext()
    try:
        with with_rollback:
            execute(f"CREATE UNIQUE INDEX {table}_{columns[0]} ON {table} ({', '.join(columns)})")
    except IntegrityError:
        return False
    return True


def analyze(*tables: str) -> None:
    """Tell PostgreSQL how large tables have become: nothing else does so within a session, and
    a plan made for empty tables takes minutes. SQLite plans by its indexes."""
    if connection.vendor == "postgresql":
        execute(f"ANALYZE {', '.join(tables)}")
