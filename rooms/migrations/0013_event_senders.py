"""Index the senders of events on PostgreSQL, so that participants can be deleted.

Their foreign key looks for events of each person of a tenant that is erased. Without the index it
reads all events of the server for each. On SQLite the erasure leaves out these checks, since it has
made them before.

The index is created while events are written. It waits for transactions that are open, and can be
created again if it is interrupted.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.migrations.state import StateApps

INDEX = "sw_events_sender"


def create(apps: StateApps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        drop(apps, schema_editor)  # An interrupted migration has left an invalid one.
        schema_editor.execute(f"CREATE INDEX CONCURRENTLY {INDEX} ON sw_events (sender_id)")


def drop(apps: StateApps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('rooms', '0012_retention'),
    ]

    operations = [
        migrations.RunPython(create, drop),
    ]
