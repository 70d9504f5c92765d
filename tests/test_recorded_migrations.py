"""A process that repeats the statements of the migrations makes what they made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.databases import RawDatabase, migrate

SQLITE = "SELECT type, name, sql FROM sqlite_master"
POSTGRESQL = """
SELECT 'column', table_name || '.' || column_name, concat_ws(' ', ordinal_position, data_type,
    character_maximum_length, is_nullable, column_default, is_identity)
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
"""
ROWS = (
    "SELECT app, name FROM django_migrations ORDER BY id",
    "SELECT app_label, model FROM django_content_type",
    "SELECT codename FROM auth_permission",
)


def describe(url: str) -> list[list[tuple[Any, ...]]]:
    database = RawDatabase(url)
    schema = POSTGRESQL if database.is_postgres else SQLITE
    return [sorted(database.rows(query), key=str) for query in (schema, *ROWS)]


def test_success_the_same_schema(migrated: str, database_url: str, home: Path) -> None:
    """The first process of the run has migrated the one, and another one the other."""
    migrate(home, database_url)
    expected = describe(migrated)
    assert len(expected[0]) > 200
    assert describe(database_url) == expected
