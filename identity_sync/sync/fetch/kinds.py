"""The kinds of rows that a sync manages, and the SQL that selects them."""

from __future__ import annotations

from dataclasses import dataclass

from scaiwave.core.sql import fetch_number, sql_list
from tenants.models.directory import ACTIVE_STATUSES


@dataclass(frozen=True)
class EntitySync:
    """One kind. `synced_columns` follow ScaiKey; `preserved_columns` keep their value if ScaiKey
    sends none; `cleared_columns` become NULL with every update.

    `identity` is the column with the ScaiKey id. `ownership_condition` selects the rows that a sync
    may change, among those with a ScaiKey id. `name_column` has the name.
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
    name_column: str = "name"

    @property
    def staging_table(self) -> str:
        return f"stage_{self.kind}"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.synced_columns + self.preserved_columns

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


MEMBERSHIPS = "memberships"
"""The fifth kind, which has no ScaiKey ID."""

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
    name_column="display_name",
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

ACTIVE = sql_list(ACTIVE_STATUSES)

# The two types of member: the flag of staged rows, the table, the kind, the column of the edge and
# the column with the member's name.
MEMBER_TYPES = (
    (0, "sw_participants", "participants", "member_participant_id", "display_name"),
    (1, "sw_groups", "groups", "member_group_id", "name"),
)


_IS_PRESENT = "absent_since IS NULL AND scaikey_id IS NOT NULL"
_ROWS = {
    "partners": f"sw_partners WHERE {_IS_PRESENT}",
    "tenants": "sw_tenants WHERE absent_since IS NULL AND scaikey_tenant_id IS NOT NULL",
    "participants": f"sw_participants WHERE {_IS_PRESENT}",
    "groups": f"sw_groups WHERE {_IS_PRESENT}",
    MEMBERSHIPS: "sw_group_memberships WHERE absent_since IS NULL",
    "grants": "sw_role_grants WHERE 0 = 0",
}


def count_rows(kind: str, tenant_id: str = "") -> int:
    """Count the rows that ScaiKey manages and still has, which losses are a share of.

    They are the rows of one tenant, or of the server if its ID is empty.
    """
    sql = f"SELECT count(*) FROM {_ROWS[kind]}"
    if not tenant_id:
        return fetch_number(sql)
    return 1 if kind == "tenants" else fetch_number(f"{sql} AND tenant_id = %s", [tenant_id])


def count_active_memberships() -> int:
    """Count the active edges of the fetched groups whose member ScaiKey manages."""
    edges = "fetched_group_rows fr JOIN sw_group_memberships e ON e.group_id = fr.group_id"
    number = fetch_number(f"SELECT count(*) FROM {edges} WHERE e.absent_since IS NULL")
    for _, table, _, column, _ in MEMBER_TYPES:
        number -= fetch_number(
            f"SELECT count(*) FROM {edges} JOIN {table} m ON m.id = e.{column} "
            "WHERE m.scaikey_id IS NULL AND e.absent_since IS NULL"
        )
    return number


def count_present(kinds: list[str]) -> dict[str, int]:
    """Count the active rows in scope that ScaiKey manages, of each kind that was fetched."""
    present = {
        entity.kind: fetch_number(
            f"SELECT count(*) FROM {entity.table} p {entity.scope_join} "
            f"WHERE {entity.owned_condition}"
        )
        for entity in ENTITIES
        if entity.kind in kinds
    }
    if MEMBERSHIPS in kinds:
        present[MEMBERSHIPS] = count_active_memberships()
    return present
