from typing import Any

from django.db import migrations

# `tenants.audit.queries.entries` searches by exactly this expression.
CREATE = """
    CREATE INDEX sw_audit_text ON sw_audit_entries USING gin (to_tsvector('simple'::regconfig,
        translate(action || ' ' || "operator" || ' ' || subject_name || ' ' || tenant_slug,
        '@.:-_/,;()', '          ')))
"""


def create_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE)


def drop_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX sw_audit_text")


class Migration(migrations.Migration):
    """Index the words by which the admin site searches the audit log.

    SQLite has no such index: it reads the entries.
    """

    dependencies = [("tenants", "0020_notices")]

    operations = [migrations.RunPython(create_index, drop_index)]
