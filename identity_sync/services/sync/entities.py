"""The four kinds that are rows with a ScaiKey id, and the SQL that compares and writes them.

A mirror knows which columns ScaiKey owns. Everything is a handful of statements over whole sets:
a run without changes reads, and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from identity_sync.services.sync.staging import execute, fetch_one


@dataclass(frozen=True)
class EntitySync:
    """One kind. `kept` columns keep our value where ScaiKey tells none; `told` ones follow it.

    `ours` is the condition for rows `p` that a sync may touch although they have a ScaiKey id.
    """

    kind: str
    table: str
    stage: str
    identity: str
    told: tuple[str, ...]
    kept: tuple[str, ...] = ()
    in_tenant: bool = False
    ours: str = ""
    label: str = "s.name"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.told + self.kept

    @property
    def _tenant_join(self) -> str:
        return "JOIN tenant_map t ON t.scaikey_id = s.tenant_scaikey_id" if self.in_tenant else ""

    @property
    def _row_join(self) -> str:
        same_tenant = "AND p.tenant_id = t.tenant_id" if self.in_tenant else ""
        return f"LEFT JOIN {self.table} p ON p.{self.identity} = s.scaikey_id {same_tenant}"

    def _differs(self, column: str) -> str:
        told = f"s.{column} IS NOT NULL AND " if column in self.kept else ""
        return f"({told}p.{column} <>! s.{column})"

    def present(self) -> int:
        """How many rows we have that ScaiKey is responsible for and that are not absent."""
        return int(
            fetch_one(f"SELECT count(*) FROM {self.table} p {self.scope} WHERE {self._owned}")[0]
        )

    @property
    def scope(self) -> str:
        """Only what lies in our credentials' scope can be called absent."""
        column = "tenant_id" if self.in_tenant else "id"
        if self.kind == "partners":
            return ""
        return f"JOIN scope_tenants c ON c.tenant_id = p.{column}"

    @property
    def _owned(self) -> str:
        ours = f" AND {self.ours}" if self.ours else ""
        return f"p.{self.identity} IS NOT NULL AND p.absent_since IS NULL{ours}"

    def plan_absent(self) -> None:
        """Plan to deactivate what ScaiKey did not show."""
        execute(
            f"""
            INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason)
            SELECT %s, 'deactivate', p.id, {self._tenant_of_row}, p.{self.identity},
                   {self.label.replace("s.", "p.")}, 'not in ScaiKey any more'
            FROM {self.table} p {self.scope}
            WHERE {self._owned} AND NOT EXISTS
                (SELECT 1 FROM {self.stage} s WHERE s.scaikey_id = p.{self.identity})
            """,
            [self.kind],
        )

    @property
    def _tenant_of_row(self) -> str:
        if self.kind == "partners":
            return "NULL"
        return "p.tenant_id" if self.in_tenant else "p.id"

    def plan_moved(self) -> None:
        """Plan to deactivate here what ScaiKey now shows in another tenant."""
        if not self.in_tenant:
            return
        execute(
            f"""
            INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason)
            SELECT %s, 'move', p.id, p.tenant_id, p.scaikey_id,
                   {self.label.replace("s.", "p.")}, 'moved to another tenant'
            FROM {self.stage} s {self._tenant_join}
            JOIN {self.table} p ON p.scaikey_id = s.scaikey_id
            WHERE p.tenant_id <> t.tenant_id AND {self._owned}
            """,
            [self.kind],
        )

    def plan_changes(self) -> None:
        """Plan what to add, update and restore, with the names of the fields that differ."""
        differs = " OR ".join(self._differs(column) for column in self.columns)
        fields = " || ".join(
            f"CASE WHEN {self._differs(column)} THEN ',{column}' ELSE '' END"
            for column in self.columns
        )
        tenant = "t.tenant_id" if self.in_tenant else "NULL"
        if self.kind == "tenants":
            tenant = "COALESCE(p.id, s.new_id)"
        guard = "AND s.held = 0" if self.kind == "tenants" else ""
        if self.ours:
            guard = f"AND (p.id IS NULL OR ({self.ours}))"
        execute(
            f"""
            INSERT INTO sync_plan
                (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason)
            SELECT %s,
                   CASE WHEN p.id IS NULL THEN 'add'
                        WHEN p.absent_since IS NOT NULL THEN 'restore' ELSE 'update' END,
                   COALESCE(p.id, s.new_id), {tenant}, s.n, s.scaikey_id, {self.label},
                   CASE WHEN p.id IS NULL THEN '' ELSE substr({fields}, 2) END,
                   CASE WHEN p.id IS NULL THEN 'new in ScaiKey'
                        WHEN p.absent_since IS NOT NULL THEN 'back in ScaiKey'
                        ELSE 'changed in ScaiKey' END
            FROM {self.stage} s {self._tenant_join} {self._row_join}
            WHERE (p.id IS NULL OR p.absent_since IS NOT NULL OR {differs}) {guard}
            """,
            [self.kind],
        )

    def deactivate(self, now: datetime) -> None:
        execute(
            f"""
            UPDATE {self.table} AS p SET absent_since = %s, updated_at = %s FROM sync_plan d
            WHERE d.kind = %s AND d.action IN ('deactivate', 'move') AND p.id = d.row_id
            """,
            [datetime_param(now), datetime_param(now), self.kind],
        )

    def update(self, now: datetime) -> None:
        """Write updates and restorations; a column that ScaiKey does not tell keeps its value."""
        assignments = ", ".join(
            f"{column} = COALESCE(s.{column}, p.{column})"
            if column in self.kept
            else f"{column} = s.{column}"
            for column in self.columns
        )
        execute(
            f"""
            UPDATE {self.table} AS p SET {assignments}, absent_since = NULL, updated_at = %s
            FROM sync_plan d JOIN {self.stage} s ON s.n = d.n
            WHERE d.kind = %s AND d.action IN ('update', 'restore') AND p.id = d.row_id
            """,
            [datetime_param(now), self.kind],
        )

    def insert(self, now: datetime, extra: dict[str, str] | None = None, joins: str = "") -> None:
        """Write additions; `extra` gives SQL for columns that do not come from ScaiKey."""
        values = {column: f"s.{column}" for column in self.told}
        values |= {column: f"COALESCE(s.{column}, '')" for column in self.kept}
        if "partner_id" in values:
            values["partner_id"] = "s.partner_id"
        if self.in_tenant:
            values["tenant_id"] = "d.tenant_id"
        values |= extra or {}
        execute(
            f"""
            INSERT INTO {self.table}
                (id, {self.identity}, {", ".join(values)}, created_at, updated_at)
            SELECT d.row_id, s.scaikey_id, {", ".join(values.values())}, %s, %s
            FROM sync_plan d JOIN {self.stage} s ON s.n = d.n {joins}
            WHERE d.kind = %s AND d.action = 'add'
            """,
            [datetime_param(now), datetime_param(now), self.kind],
        )


def datetime_param(now: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(now)


PARTNERS = EntitySync(
    kind="partners",
    table="sw_partners",
    stage="stage_partners",
    identity="scaikey_id",
    told=(
        "name",
        "slug",
        "contact_email",
        "max_tenants",
        "max_users_per_tenant",
        "max_applications_per_tenant",
    ),
    kept=("scaikey_status",),
)
TENANTS = EntitySync(
    kind="tenants",
    table="sw_tenants",
    stage="stage_tenants",
    identity="scaikey_tenant_id",
    told=("name", "slug", "contact_email"),
    kept=("scaikey_status", "partner_id"),
)
PARTICIPANTS = EntitySync(
    kind="participants",
    table="sw_participants",
    stage="stage_participants",
    identity="scaikey_id",
    told=("display_name", "email", "avatar_url"),
    kept=("scaikey_status",),
    in_tenant=True,
    ours="p.participant_type = 'human'",
    label="s.display_name",
)
GROUPS = EntitySync(
    kind="groups",
    table="sw_groups",
    stage="stage_groups",
    identity="scaikey_id",
    told=("name", "group_type"),
    in_tenant=True,
)
MIRRORS = (PARTNERS, TENANTS, PARTICIPANTS, GROUPS)
