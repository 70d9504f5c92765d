"""The four kinds of rows with a ScaiKey id, and the SQL that compares and writes them.

An `EntitySync` lists the columns that ScaiKey manages. Each step is a few statements over whole
sets, and a run without changes only reads.

New participants get a local ID: the part of the FQID before the server name. Local IDs are readable
and unique, and never change.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from identity_sync.reasons import Reason
from identity_sync.sync.staging import BATCH, copy_rows, index_numbers, index_plan_records
from scaiwave.core.sql import datetime_param, execute, fetch, fetch_number, is_distinct, to_uuid


@dataclass(frozen=True)
class EntitySync:
    """One kind. `synced_columns` follow ScaiKey; `preserved_columns` keep their value if ScaiKey
    sends none; `cleared_columns` become NULL with every update.

    `identity` is the column with the ScaiKey id. `ownership_condition` selects the rows that a sync
    may change, among those with a ScaiKey id. `name_expression` is the name of a record.
    """

    kind: str
    table: str
    identity: str
    synced_columns: tuple[str, ...]
    preserved_columns: tuple[str, ...] = ()
    cleared_columns: tuple[str, ...] = ()
    in_tenant: bool = False
    has_status: bool = True
    ownership_condition: str = ""
    name_expression: str = "s.name"

    @property
    def staging_table(self) -> str:
        return f"stage_{self.kind}"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.synced_columns + self.preserved_columns

    @property
    def row_name_expression(self) -> str:
        """The name of a row of the database, in SQL."""
        return self.name_expression.replace("s.", "p.")

    @property
    def scope_join(self) -> str:
        """Join that restricts rows to the scope: only those may be deactivated."""
        if self.kind == "partners":
            return ""
        return f"JOIN scope_tenants sc ON sc.tenant_id = {self.tenant_expression}"

    @property
    def owned_condition(self) -> str:
        """Condition for the active rows that ScaiKey manages."""
        ownership = f" AND {self.ownership_condition}" if self.ownership_condition else ""
        return f"p.{self.identity} IS NOT NULL AND p.absent_since IS NULL{ownership}"

    @property
    def tenant_expression(self) -> str:
        if self.kind == "partners":
            return "NULL"
        return "p.tenant_id" if self.in_tenant else "p.id"

    @property
    def _tenant_join(self) -> str:
        return "JOIN tenant_map tm ON tm.scaikey_id = s.tenant_scaikey_id" if self.in_tenant else ""

    @property
    def _row_join(self) -> str:
        same_tenant = "AND p.tenant_id = tm.tenant_id" if self.in_tenant else ""
        return f"LEFT JOIN {self.table} p ON p.{self.identity} = s.scaikey_id {same_tenant}"

    @property
    def _free_identity(self) -> str:
        """SQL for whether no row of others has the ScaiKey id, which one active row may have."""
        owned = self.ownership_condition.replace("p.", "other_p.")
        return (
            f"NOT EXISTS (SELECT 1 FROM {self.table} other_p "
            f"WHERE other_p.{self.identity} = s.scaikey_id "
            f"AND other_p.absent_since IS NULL AND NOT ({owned}))"
        )

    def _differs(self, column: str) -> str:
        sent = f"s.{column} IS NOT NULL AND " if column in self.preserved_columns else ""
        return f"({sent}{is_distinct(f'p.{column}', f's.{column}')})"

    def count_active(self) -> int:
        """Count the active rows that ScaiKey manages, within the scope."""
        sql = f"SELECT count(*) FROM {self.table} p {self.scope_join} WHERE {self.owned_condition}"
        return fetch_number(sql)

    def plan_rows(self, action: str, source: str, *, reason: str, detail: str = "NULL") -> None:
        """Plan an action for rows `p` of the database; `source` is the SQL that follows FROM."""
        execute(
            f"""
            INSERT INTO sync_plan
                (kind, action, row_id, tenant_id, scaikey_id, name, reason, detail)
            SELECT '{self.kind}', '{action}', p.id, {self.tenant_expression}, p.{self.identity},
                   {self.row_name_expression}, {reason}, {detail}
            FROM {source}
            """
        )

    def plan_removals(self) -> None:
        """Plan to deactivate the rows whose removal is confirmed."""
        self.plan_rows(
            "deactivate",
            f"""
            confirmed_removals cr
            JOIN {self.table} p ON p.{self.identity} = cr.scaikey_id {self.scope_join}
            WHERE cr.kind = '{self.kind}' AND {self.owned_condition} AND NOT EXISTS
                (SELECT 1 FROM {self.staging_table} s WHERE s.scaikey_id = cr.scaikey_id)
            """,
            reason="cr.reason",
            detail=f"CASE WHEN cr.reason = '{Reason.MOVED}' THEN cr.detail ELSE '' END",
        )

    def plan_moves(self) -> None:
        """Plan to deactivate the rows that are confirmed to be in another tenant now.

        That tenant need not be known here. People and groups of a tenant that is not linked have no
        access and need no confirmation; they leave it for a tenant that this server has.
        """
        if not self.in_tenant:
            return
        confirmed = f"""
            loss_claims c JOIN {self.table} p ON p.id = c.row_id
            JOIN sw_tenants t ON t.id = p.tenant_id
            JOIN {self.staging_table} s ON s.scaikey_id = c.scaikey_id
            WHERE c.kind = '{self.kind}' AND c.state IN ('lost', 'assumed')
              AND {is_distinct("s.tenant_scaikey_id", "t.scaikey_tenant_id")}
              AND {self.owned_condition}
        """
        without_link = f"""
            sw_tenants t CROSS JOIN {self.table} p CROSS JOIN {self.staging_table} s
            {self._tenant_join}
            WHERE t.scaikey_tenant_id IS NULL AND p.tenant_id = t.id
              AND s.scaikey_id = p.scaikey_id AND {self.owned_condition}
        """
        for source in (confirmed, without_link):
            self.plan_rows("move", source, reason=f"'{Reason.MOVED}'")

    def plan_changes(self) -> None:
        """Plan additions, updates and restorations, with the names of the fields that differ."""
        differs = " OR ".join(self._differs(column) for column in self.columns)
        fields = " || ".join(
            f"CASE WHEN {self._differs(column)} THEN ',{column}' ELSE '' END"
            for column in self.columns
        )
        tenant = "tm.tenant_id" if self.in_tenant else "NULL"
        if self.kind == "tenants":
            tenant = "COALESCE(p.id, s.new_id)"
        guard = "AND s.skipped <> 1" if self.kind == "tenants" else ""
        if self.ownership_condition:
            guard = (
                f"AND (p.id IS NULL OR ({self.ownership_condition})) "
                f"AND (p.id IS NOT NULL AND p.absent_since IS NULL OR {self._free_identity})"
            )
        execute(
            f"""
            INSERT INTO sync_plan
                (kind, action, row_id, tenant_id, n, scaikey_id, name, fields, reason)
            SELECT %s,
                   CASE WHEN p.id IS NULL THEN 'add'
                        WHEN p.absent_since IS NOT NULL THEN 'restore' ELSE 'update' END,
                   COALESCE(p.id, s.new_id), {tenant}, s.n, s.scaikey_id, {self.name_expression},
                   CASE WHEN p.id IS NULL THEN '' ELSE substr({fields}, 2) END,
                   CASE WHEN p.id IS NULL THEN '{Reason.ADDED}'
                        WHEN p.absent_since IS NOT NULL THEN '{Reason.RESTORED}'
                        ELSE '{Reason.CHANGED}' END
            FROM {self.staging_table} s {self._tenant_join} {self._row_join}
            WHERE (p.id IS NULL OR p.absent_since IS NOT NULL OR {differs}) {guard}
            """,
            [self.kind],
        )

    def update(self, now: datetime) -> None:
        """Write updates and restorations; preserved columns keep what ScaiKey did not send."""
        assignments = ", ".join(
            f"{column} = COALESCE(s.{column}, p.{column})"
            if column in self.preserved_columns
            else f"{column} = s.{column}"
            for column in self.columns
        )
        cleared = "".join(f"{column} = NULL, " for column in self.cleared_columns)
        execute(
            f"""
            UPDATE {self.table} AS p
            SET {assignments}, {cleared} absent_since = NULL, updated_at = %s
            FROM sync_plan d JOIN {self.staging_table} s ON s.n = d.n
            WHERE d.kind = %s AND d.action IN ('update', 'restore') AND p.id = d.row_id
            """,
            [datetime_param(now), self.kind],
        )

    def insert(self, now: datetime, extra: dict[str, str] | None = None, joins: str = "") -> None:
        """Write additions; `extra` maps columns that don't come from ScaiKey to SQL."""
        values = {column: f"s.{column}" for column in self.synced_columns}
        values |= {column: f"COALESCE(s.{column}, '')" for column in self.preserved_columns}
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
            FROM sync_plan d JOIN {self.staging_table} s ON s.n = d.n {joins}
            WHERE d.kind = %s AND d.action = 'add'
            """,
            [datetime_param(now), datetime_param(now), self.kind],
        )


def deactivate_rows(kind: str, table: str, now: datetime) -> None:
    """Write the deactivations of a kind; people and groups leave a tenant by them too."""
    execute(
        f"""
        UPDATE {table} AS p SET absent_since = %s, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action IN ('deactivate', 'move') AND p.id = d.row_id
        """,
        [datetime_param(now), datetime_param(now), kind],
    )


MEMBERSHIPS = "memberships"
"""The fifth kind, which has no ScaiKey ID; see memberships.py."""

PARTNERS = EntitySync(
    kind="partners",
    table="sw_partners",
    identity="scaikey_id",
    synced_columns=(
        *("name", "slug", "contact_email", "max_tenants", "max_users_per_tenant"),
        "max_applications_per_tenant",
    ),
    preserved_columns=("scaikey_status",),
)
TENANTS = EntitySync(
    kind="tenants",
    table="sw_tenants",
    identity="scaikey_tenant_id",
    synced_columns=("name", "slug", "contact_email"),
    preserved_columns=("scaikey_status", "partner_id"),
)
PARTICIPANTS = EntitySync(
    kind="participants",
    table="sw_participants",
    identity="scaikey_id",
    synced_columns=("display_name", "email", "avatar_url"),
    preserved_columns=("scaikey_status",),
    cleared_columns=("purged_at",),
    in_tenant=True,
    ownership_condition="p.participant_type = 'human'",
    name_expression="s.display_name",
)
GROUPS = EntitySync(
    kind="groups",
    table="sw_groups",
    identity="scaikey_id",
    synced_columns=("name", "group_type"),
    in_tenant=True,
    has_status=False,
)
ENTITIES = (PARTNERS, TENANTS, PARTICIPANTS, GROUPS)
ENTITY_OF_KIND = {entity.kind: entity for entity in ENTITIES}

FREED_SLUG = "substr({0}.slug, 1, 150) || '-gone-' || substr(CAST({0}.id AS text), 25)"
"""The new slug of a removed tenant whose slug another tenant gets, in SQL."""


def insert_participants(now: datetime) -> None:
    """Write new participants, each with a local ID. Their tenants must be written before."""
    # Stage a suffix for each participant that the plan adds, and whose preferred ID is taken.
    # The first of several people with the same preferred ID gets it, unless it is in use.
    execute(_STAGE_TAKEN_IDS)
    index_numbers("taken_local_ids")
    last = 0
    while rows := fetch(_TAKEN_IDS, [last, BATCH]):
        copy_rows(
            "local_id_suffixes",
            ((n, _build_suffix(to_uuid(tenant), person)) for n, tenant, person in rows),
        )
        last = rows[-1][0]
    index_numbers("local_id_suffixes")
    PARTICIPANTS.insert(
        now,
        extra={"participant_type": "'human'", "server_name": "''", "local_id": _LOCAL_ID},
        joins="LEFT JOIN local_id_suffixes su ON su.n = d.n",
    )


def keep_suspensions() -> None:
    """Suspend people who were added or restored in one tenant as they were in the one they left.

    A manual suspension is about the person. The row that was removed last shows it, unless it came
    as removed, by the import of a tenant (`DECIDED_HERE`).
    """
    if not fetch_number(_HAS_SUSPENDED):
        return  # The join would read all people who are added.
    if fetch_number(_IS_ANYONE_SUSPENDED_ELSEWHERE):
        index_plan_records()
        execute(_COPY_SUSPENSIONS)


_HAS_SUSPENDED = """
    SELECT EXISTS (SELECT 1 FROM sw_participants
                   WHERE suspended_by_hand_at IS NOT NULL AND absent_since IS NOT NULL)
"""
_IS_ANYONE_SUSPENDED_ELSEWHERE = """
    SELECT EXISTS (
        SELECT 1 FROM sync_plan d CROSS JOIN sw_participants p
        WHERE d.kind = 'participants' AND d.action IN ('add', 'restore')
          AND p.scaikey_id = d.scaikey_id
          AND p.suspended_by_hand_at IS NOT NULL AND p.absent_since IS NOT NULL)
"""
# No index finds the removed rows of a person, so that all people are read, but only once.
_COPY_SUSPENSIONS = """
    UPDATE sw_participants AS p SET suspended_by_hand_at = last.suspended_by_hand_at
    FROM (SELECT d.row_id, old_p.suspended_by_hand_at,
                 row_number() OVER (PARTITION BY d.row_id ORDER BY old_p.absent_since DESC) AS place
          FROM sw_participants old_p CROSS JOIN sync_plan d
          WHERE old_p.absent_since IS NOT NULL AND old_p.participant_type = 'human'
            AND (old_p.absent_since > old_p.created_at
                 OR old_p.suspended_by_hand_at > old_p.created_at)
            AND d.scaikey_id = old_p.scaikey_id AND d.kind = 'participants'
            AND d.action IN ('add', 'restore')) AS last
    WHERE last.place = 1 AND last.suspended_by_hand_at IS NOT NULL
      AND p.id = last.row_id AND p.suspended_by_hand_at IS NULL
"""

# A `+` separates the suffix. No preferred id contains one, so none can equal an id with a suffix.
_NOT_IN_LOCAL_ID = re.compile(r"[^a-z0-9._-]+")
MAX_LOCAL_ID_CHARS = 64
SUFFIX_CHARS = 10

_LOCAL_ID = "CASE WHEN su.n IS NULL THEN s.local_id ELSE s.local_id || '+' || su.suffix END"


def build_local_id(email: str, display_name: str) -> str:
    """Return the local part of the e-mail address, or else the display name, as a local id.

    >>> build_local_id("Anna.Kovács+chat@acme.example", "")
    'anna.kov-cs-chat'
    """
    for source in (email.partition("@")[0], display_name):
        name = _NOT_IN_LOCAL_ID.sub("-", source.lower()).strip("-._")[:MAX_LOCAL_ID_CHARS]
        if name:
            return name
    return "user"


def _build_suffix(tenant_id: UUID, scaikey_id: str) -> str:
    """Return fifty bits that are always the same for the same person in the same tenant.

    The id of the tenant is ours, since a ScaiKey tenant may be linked to another one later.
    """
    digest = hashlib.sha256(f"{tenant_id} {scaikey_id}".encode()).digest()
    return base64.b32encode(digest[:SUFFIX_CHARS]).decode().lower()[:SUFFIX_CHARS]


# Before rows are inserted: in the same statement they would be sorted as a whole, and written in
# another order than their keys.
_STAGE_TAKEN_IDS = """
    INSERT INTO taken_local_ids (n, tenant_id, scaikey_id)
    SELECT i.n, i.tenant_id, i.scaikey_id FROM (
        SELECT d.n, d.tenant_id, s_p.scaikey_id, s_p.local_id,
               row_number() OVER (PARTITION BY s_p.local_id ORDER BY s_p.scaikey_id) AS place
        FROM sync_plan d JOIN stage_participants s_p ON s_p.n = d.n
        WHERE d.kind = 'participants' AND d.action = 'add') AS i
    WHERE i.place > 1 OR EXISTS (
        SELECT 1 FROM sw_participants p WHERE p.local_id = i.local_id AND p.server_name = '')
"""
_TAKEN_IDS = """
    SELECT n, tenant_id, scaikey_id FROM taken_local_ids WHERE n > %s ORDER BY n LIMIT %s
"""
