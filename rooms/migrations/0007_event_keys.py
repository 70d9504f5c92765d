"""Check room and tenant of an event with one foreign key instead of two, on PostgreSQL.

The checks of the keys are more than half of what inserting an event costs there. The room has a
tenant that exists, so the joint key promises what the two did, and that both have the same tenant.
On SQLite the checks cost almost nothing, and a change would copy the table.

Each step is a transaction of its own, in which no lock lasts longer than a moment, except that
writers of rooms wait for the index. The check of existing events blocks no one. A step that was
done before is skipped, so an interrupted migration can be run again. The old keys are dropped last.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps
from django.db.models import Model

KEY, INDEX = "sw_events_room_and_tenant", "sw_rooms_id_and_tenant"
OLD_FIELDS = ("room", "tenant")


def join_keys(apps: StateApps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    event = apps.get_model("rooms", "Event")
    schema_editor.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {INDEX} ON sw_rooms (id, tenant_id)")
    if not has_key(schema_editor):
        schema_editor.execute(
            f"ALTER TABLE sw_events ADD CONSTRAINT {KEY} FOREIGN KEY (room_id, tenant_id) "
            "REFERENCES sw_rooms (id, tenant_id) DEFERRABLE INITIALLY DEFERRED NOT VALID"
        )
    schema_editor.execute(f"ALTER TABLE sw_events VALIDATE CONSTRAINT {KEY}")
    for field in OLD_FIELDS:
        for name in find_keys(schema_editor, event, field):
            schema_editor.execute(f'ALTER TABLE sw_events DROP CONSTRAINT "{name}"')


def split_keys(apps: StateApps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    event = apps.get_model("rooms", "Event")
    for name in OLD_FIELDS:
        if not find_keys(schema_editor, event, name):
            field = event._meta.get_field(name)
            schema_editor.execute(
                schema_editor._create_fk_sql(event, field, "_fk_%(to_table)s_%(to_column)s")
            )
    schema_editor.execute(f"ALTER TABLE sw_events DROP CONSTRAINT IF EXISTS {KEY}")
    schema_editor.execute(f"DROP INDEX IF EXISTS {INDEX}")


def has_key(schema_editor: Any) -> bool:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_constraint WHERE conname = %s AND conrelid = 'sw_events'::regclass",
            [KEY],
        )
        return cursor.fetchone() is not None


def find_keys(schema_editor: Any, event: type[Model], field: str) -> list[str]:
    """Return the names of the foreign keys of this column alone."""
    return list(schema_editor._constraint_names(event, [f"{field}_id"], foreign_key=True))


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('rooms', '0006_view_content'),
    ]

    operations = [
        migrations.RunPython(join_keys, split_keys),
    ]
