"""The operation of migrations that take something away."""

from __future__ import annotations

from typing import Any

from django.db.migrations import RunPython


class ServeFrom(RunPython):
    """Record the oldest release that can work with the schema from this migration on.

    It stands in each migration that removes a column or table, with the first release that no
    longer uses it. Migrations of other applications depend on `tenants.0027_schema`.
    """

    def __init__(self, oldest_served: str) -> None:
        def record(apps: Any, schema_editor: Any) -> None:
            rows = apps.get_model("tenants", "SchemaState").objects
            rows.update_or_create(number=1, defaults={"oldest_served": oldest_served})

        super().__init__(record, RunPython.noop)
        self.oldest_served = oldest_served

    def describe(self) -> str:
        return f"Serve releases from {self.oldest_served} on"
