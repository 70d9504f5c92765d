"""End the sessions of earlier releases, which stored their keys and not hashes of them."""

from typing import Any

from django.db import migrations

TABLE = "django_session"


def end_sessions(apps: Any, schema_editor: Any) -> None:
    if TABLE in schema_editor.connection.introspection.table_names():
        schema_editor.execute(f"DELETE FROM {TABLE}")


class Migration(migrations.Migration):

    dependencies = [("tenants", "0024_erasure_error")]

    operations = [migrations.RunPython(end_sessions, migrations.RunPython.noop)]
