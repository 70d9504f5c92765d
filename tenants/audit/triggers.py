"""Database triggers that keep the audit log append-only.

Migrations can't keep triggers: SQLite drops them with the table whenever a migration rebuilds it.
So a signal handler creates them again after every migrate. The owner of the database can still
drop them, but not by accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from scaiwave.core.sql import fetch_one
from tenants.models import AuditEntry

TABLE = AuditEntry._meta.db_table
ERROR_TEXT = f"{TABLE} is append-only"
_FUNCTION = f"{TABLE}_refuse"
_REFUSED_STATEMENTS = ("update", "delete")
_RETENTION = "scaiwave.deletes_audit_entries"
# Only the owner of the table, who can drop the triggers too, gets past them with the setting. The
# error code is a constraint violation, as on SQLite.
_CREATE_FUNCTION_SQL = f"""
CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' AND current_setting('{_RETENTION}', true) = 'on' AND pg_has_role(
        current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE'
    ) THEN RETURN OLD; END IF;
    RAISE EXCEPTION '{ERROR_TEXT}' USING ERRCODE = 'restrict_violation';
END $$
"""  # noqa: S608 - constants


def install_audit_triggers(using: str = "default", **signal_arguments: Any) -> None:
    """Create the triggers, replacing existing ones. Connected to `post_migrate`.

    Existing triggers stay on PostgreSQL: creating them waits for every open transaction that has
    read the audit log, and blocks other transactions while it waits.
    """
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        if TABLE not in connection.introspection.table_names(cursor):
            return  # migrated back to a state without the audit table
        if connection.vendor == "postgresql":
            cursor.execute(_CREATE_FUNCTION_SQL)
            if not missing_triggers(using):
                return
        is_postgresql = connection.vendor == "postgresql"
        triggers = _build_postgresql_triggers() if is_postgresql else _build_sqlite_triggers()
        for statement in (*_build_drop_statements(connection), *triggers):
            cursor.execute(statement)


def remove_audit_triggers(using: str = "default") -> None:
    """Allow tests to empty the audit log until the next migrate or flush."""
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for statement in _build_drop_statements(connection):
            cursor.execute(statement)


def trigger_names(vendor: str) -> list[str]:
    """Return the names of all triggers that must exist.

    SQLite's REPLACE and PostgreSQL's TRUNCATE don't fire row triggers, so each has its own.
    """
    bulk_statement = "truncate" if vendor == "postgresql" else "replace"
    return [f"{TABLE}_no_{change}" for change in (*_REFUSED_STATEMENTS, bulk_statement)]


@contextmanager
def allow_audit_deletion() -> Iterator[None]:
    """Let retention delete entries. Call it in the transaction that deletes them.

    On PostgreSQL the triggers stay: dropping them would wait for every transaction that has written
    an entry, and all others would wait for it. SQLite has one writer at a time anyway.
    """
    if connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
        remove_audit_triggers()
        yield
        install_audit_triggers()
        return
    set_local = f"SELECT set_config('{_RETENTION}', %s, true)"  # rolled back with the transaction
    fetch_one(set_local, ["on"])
    yield
    fetch_one(set_local, [""])


def missing_triggers(using: str = "default") -> list[str]:
    connection = connections[using]
    catalogue = {
        "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = %s",
        "postgresql": "SELECT tgname FROM pg_trigger "
        "WHERE tgrelid = to_regclass(%s) AND tgenabled IN ('O', 'A')",
    }
    with connection.cursor() as cursor:
        cursor.execute(catalogue[connection.vendor], [TABLE])
        existing = {name for (name,) in cursor.fetchall()}
    return [name for name in trigger_names(connection.vendor) if name not in existing]


def _build_drop_statements(connection: BaseDatabaseWrapper) -> list[str]:
    on = f" ON {TABLE}" if connection.vendor == "postgresql" else ""
    return [f"DROP TRIGGER IF EXISTS {name}{on}" for name in trigger_names(connection.vendor)]


def _build_sqlite_triggers() -> list[str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{ERROR_TEXT}'); END"
    exists = f"EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id)"  # noqa: S608
    return [
        *(
            f"CREATE TRIGGER {TABLE}_no_{change} BEFORE {change.upper()} ON {TABLE} {refuse}"
            for change in _REFUSED_STATEMENTS
        ),
        f"CREATE TRIGGER {TABLE}_no_replace BEFORE INSERT ON {TABLE} WHEN {exists} {refuse}",
    ]


def _build_postgresql_triggers() -> list[str]:
    call = f"EXECUTE FUNCTION {_FUNCTION}()"
    return [
        *(
            f"CREATE TRIGGER {TABLE}_no_{change} BEFORE {change.upper()} ON {TABLE} "
            f"FOR EACH ROW {call}"
            for change in _REFUSED_STATEMENTS
        ),
        f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT {call}",
    ]
