"""The temporary tables of a sync: what each holds, which phase fills it, and which reads it.

`staging` creates the tables from this declaration. The phases of a sync are fetch, confirm, plan,
judge (limits, and skips), record (history and plan files) and apply.

Columns are text, unless they have one of these types:

* `uuid`: a primary key of this database; on SQLite its 32 hexadecimal digits.
* `flag`: 0 or 1. SQLite has no booleans, and so the same SQL is right on both databases.
* `number`: the key of the table, an integer from 1. Staged records are numbered as they arrive.
* `key`: a primary key that the database makes from the number, since few runs need one.

Columns with the same meaning everywhere:

* `n` is the number of a staged record, and `new_id` its primary key if it turns out to be new.
* `kind` is partners, tenants, participants, groups or memberships; `scaikey_id` the ID in ScaiKey.
  A membership has none: it is named by its group and its member, `<group> <member>`.
* `row_id` and `tenant_id` are primary keys here. The tenant of a tenant is itself; a partner has
  none.
* `note` and `reason` are codes of `reasons.Reason`; `detail` is what belongs to the reason, such as
  the cause of a failed look-up.

In all SQL of a sync a table has one alias, with a word before it where a statement reads the table
twice: `t` and `other_t` are both tenants. In SQL that is made for several kinds, `p` is a row of
the kind, `m` the row of a member (a person or a group), and `s` the staged record.

`CROSS JOIN` makes SQLite read the tables in the order of the statement, since its own order can be
far slower. PostgreSQL plans it as any other join.
"""

from __future__ import annotations


class TemporaryTable:
    """A table: its alias, its columns and their types by name, and its indexes.

    `unique` are the columns that identify a staged record, indexed once repeated rows are deleted.
    `index` are columns that can be indexed before the table is filled: it is small, or empty in a
    run without changes.
    """

    def __init__(self, alias: str, *columns: str, unique: str = "", index: str = "") -> None:
        parts = (column.split() for column in ", ".join(columns).split(", "))
        self.alias = alias
        self.columns = {name: kind[0] if kind else "text" for name, *kind in parts}
        self.filled = ", ".join(name for name, kind in self.columns.items() if kind != "key")
        self.unique, self.index = unique, index


TABLES = {
    # ---- Fetch: what ScaiKey returned. Look-ups of the second phase correct it. ----
    # Confirm compares them with the lists, plan with the rows, and apply copies them.
    "stage_partners": TemporaryTable(
        "s_pr",
        "n number, new_id key, scaikey_id, name, slug, scaikey_status, contact_email",
        "max_tenants integer, max_users_per_tenant integer, max_applications_per_tenant integer",
        "slug_problem",  # why the slug can't be used; NULL if it can
        unique="scaikey_id",
    ),
    "stage_tenants": TemporaryTable(
        "s_t",
        "n number, new_id key, scaikey_id, name, slug, scaikey_status, contact_email",
        "partner_scaikey_id, partner_id uuid",  # plan resolves the first into the second
        "skipped integer",  # 0, or for its slug: 1 left out, 2 synced without the new slug
        "slug_problem",
        unique="scaikey_id",
    ),
    "stage_participants": TemporaryTable(
        "s_p",
        "n number, new_id key, scaikey_id, tenant_scaikey_id, display_name, email, avatar_url",
        "scaikey_status",
        "roles",  # a JSON list of names; NULL if ScaiKey sent none, which leaves the roles alone
        "local_id",  # the preferred one
        unique="scaikey_id",
    ),
    "stage_groups": TemporaryTable(
        "s_g",
        "n number, new_id key, scaikey_id, tenant_scaikey_id, name, group_type",
        unique="scaikey_id",
    ),
    "stage_memberships": TemporaryTable(
        "s_e",
        "n number, new_id key, group_scaikey_id, member_scaikey_id",
        "is_group flag",  # whether the member is a group
        unique="group_scaikey_id, member_scaikey_id, is_group",
    ),
    # One row for each role of a person, filled by confirm; plan and apply read it.
    "stage_roles": TemporaryTable(
        "s_ro",
        "n number, grant_id uuid, role_id uuid",  # the keys of a grant and a role that are new
        "person_n integer",  # `n` of the person
        "slug, name, is_built_in flag",
    ),
    # The records of a run for single records (announced.py); confirm and judge read them.
    "announced": TemporaryTable(
        "w",
        "kind, scaikey_id",
        "position integer",  # the order of arrival from 0; NULL if another record led to it
        index="kind, scaikey_id",
    ),
    # Records of a list that can't be used: their rows stay unchanged. Confirm and plan read them.
    "unusable_records": TemporaryTable("u", "kind, scaikey_id, detail", index="kind, scaikey_id"),
    # Lists that ScaiKey does not return, for plan. `kind` is the kind of their rows, and
    # `scaikey_id` the group, tenant or partner that they belong to.
    "unreadable_lists": TemporaryTable("ul", "kind, scaikey_id, detail"),
    # The tenants whose rows may be deactivated: the credentials of this server can read them.
    "scope_tenants": TemporaryTable("sc", "tenant_id uuid", index="tenant_id"),
    # Tenants whose people lose no access: removals are turned off, or a list can't be read. NULL
    # stands for everything. Confirm and judge read them.
    "off_tenants": TemporaryTable("ot", "tenant_id uuid, note", index="tenant_id"),
    # Groups whose members were read, and the rows of these groups: confirm reads both.
    "fetched_groups": TemporaryTable(
        "fg",
        "scaikey_id",
        "scim_tenant_id",  # the ScaiKey ID of the tenant if SCIM returned the members, else empty
        index="scaikey_id",
    ),
    "fetched_group_rows": TemporaryTable("fr", "group_id uuid, scaikey_id", index="group_id"),
    # ---- Confirm: the losses by the lists, and the decision about each. ----
    # Rows that would lose access by the lists. Plan and judge read what became of them. A group
    # membership has the `scaikey_id` of its group, which is looked up.
    "loss_claims": TemporaryTable(
        "c",
        "kind, scaikey_id, row_id uuid, tenant_id uuid",
        "member_scaikey_id, is_group flag",  # the member of a membership, and its type
        "is_absent flag, is_moved flag, is_inactive flag",  # how the list shows a record
        "role_losses integer",  # how many roles it takes; such a claim is only about roles
        "state, note, detail",  # `states.ClaimState`
        index="kind, scaikey_id",
    ),
    # The open claims of one kind in random order, which is the order of the look-ups.
    "claim_order": TemporaryTable("co", "n number, scaikey_id"),
    # One batch of look-ups, or of groups whose members were read again.
    "lookups": TemporaryTable(
        "l",
        "kind, scaikey_id",
        "state",  # that the look-up gives to the claims
        "note, detail",
        index="kind, scaikey_id",
    ),
    # Records that may be deactivated; plan reads them.
    "confirmed_removals": TemporaryTable(
        "cr",
        "kind, scaikey_id, reason",
        "detail",  # of a person who has moved, in a run for one tenant: the ScaiKey ID of the other
        index="kind, scaikey_id",
    ),
    # ---- Plan: the changes to make. Judge marks some as skipped; record and apply read them. ----
    # All changes except memberships to add.
    "sync_plan": TemporaryTable(
        "d",
        "kind",
        "action",  # add, update, deactivate, move, restore or skipped
        "row_id uuid, tenant_id uuid",
        "n integer",  # the staged record; NULL if the change needs none
        "scaikey_id, name",
        "fields",  # the names of the fields that differ, with commas between
        "reason, detail",
        "group_id uuid, member_id uuid",  # of a membership to restore
        index="kind, action, n",
    ),
    # Memberships to add: the most rows of a first sync by far, so all else of them is read from the
    # staged membership.
    "new_edges": TemporaryTable(
        "ne", "n integer, is_group flag, row_id uuid, tenant_id uuid, group_id uuid, member_id uuid"
    ),
    # Role grants to change.
    "role_plan": TemporaryTable(
        "rp",
        "action",  # grant or revoke
        "participant_id uuid, tenant_id uuid",
        "person_n integer",  # the staged person
        "n integer",  # the staged role of a new grant
        "grant_id uuid",  # the grant to revoke
    ),
    # The tenants and groups that ScaiKey returned, with their present or future rows.
    "tenant_map": TemporaryTable(
        "tm",
        "scaikey_id, tenant_id uuid",
        "is_first flag",  # whether no sync has added people or groups before
        index="scaikey_id",
    ),
    "group_map": TemporaryTable(
        "gm", "scaikey_id, group_id uuid, tenant_id uuid", index="scaikey_id"
    ),
    # ---- Judge: which losses of access may be applied. ----
    # The losses of access in the plan, with the decisions. Record reads it.
    "removals": TemporaryTable(
        "r",
        "kind",  # grants, too
        "row_id uuid, subject_id uuid",  # they differ for a grant, whose subject is the person
        "tenant_id uuid, scaikey_id",
        "person_scaikey_id",  # of the person, or of the member; empty for others
        "name",
        "loss, cause",  # codes of `reasons.Loss` and `reasons.Reason`
        "destination",  # the ScaiKey ID of the new tenant or partner, the new status, or the role
        "state",  # `states.Judgment`
        "limit_code",  # the limit that set it aside, of `models.Limit`
        "skip_reason",  # why it is off
        "root_id uuid",  # the row of the removal that causes it
        "is_unproven flag",  # whether it was not looked up in this run
        index="row_id",
    ),
    # Every loss of access of the removals in question, by measure. Digests of plans read it too.
    "losses": TemporaryTable(
        "lo",
        "kind",  # the measure, of `report.LOSSES`
        "tenant_id uuid, row_id uuid",
        index="row_id",
    ),
    # Whether partners and tenants let their people in, before and after the plan.
    "partner_access": TemporaryTable(
        "pa", "partner_id uuid, was_active flag, is_active flag", index="partner_id"
    ),
    "tenant_access": TemporaryTable(
        "ta", "tenant_id uuid, was_active flag, is_active flag", index="tenant_id"
    ),
    # The people of groups that are no longer a member of another.
    "affected_through_groups": TemporaryTable("ag", "tenant_id uuid, person_id uuid"),
    # The tenants in question: over their limit, or unable to get their slug (skip.py).
    "skipped_tenants": TemporaryTable("st", "tenant_id uuid"),
    # ---- Apply ----
    # New people whose preferred local ID is taken, and the suffix of their ID.
    "taken_local_ids": TemporaryTable("tl", "n number, tenant_id uuid, scaikey_id"),
    "local_id_suffixes": TemporaryTable("su", "n number, suffix"),
}
