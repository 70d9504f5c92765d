"""Plan, confirm and apply group memberships. An edge has no ScaiKey id of its own.

An edge ends only if its member is confirmed as removed from ScaiKey, or if two complete lists of
the group's members lack it; for members that were read by SCIM, the group's document and one such
list. A list is complete if it was read to an empty page, matches every reported total, repeats no
record and has no unreadable one. The second list uses a different page size, which exposes replicas
that disagree. Other differences between the two lists don't matter, so that a busy group still
loses the members who left. Everything else is postponed.

In SQL: `s` is a staged membership, `e` an edge of the database, `g` its group, `m` its member, `c`
a claim, `w` a group whose members were fetched, `l` a group that was read again, `r` a group that
returns, `t` a tenant, `d` a row of the plan or an edge to add, `k` a tenant whose access is kept.
For a member to add, `x` is the record and `m` the plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from identity_sync.reasons import Reason
from identity_sync.sync import pending
from identity_sync.sync.confirm import SAMPLE_SIZE, Confirmation, LookupBudget
from identity_sync.sync.fetch import (
    MAX_NAMED,
    SyncScope,
    direct_memberships,
    join_examples,
)
from identity_sync.sync.removal_limit import RemovalLimit
from identity_sync.sync.staging import analyze, copy_rows, find_kept_note, index_filled
from scaiwave.clients.scaikey.client import MemberList, ScaiKeyClient, UnreadableList
from scaiwave.clients.scaikey.scim import ScimGroup
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.sql import batched, datetime_param, execute, fetch, fetch_one, is_distinct
from scaiwave.ids import new_id_hex

KIND = "memberships"
GROUPS_READ_AGAIN = 500
"""In one batch, which has two lists of the members of each."""

# The two types of member: the flag of staged rows, the table, the kind, the column of the edge and
# the column with the member's name.
_MEMBER_TYPES = (
    (0, "sw_participants", "participants", "member_participant_id", "display_name"),
    (1, "sw_groups", "groups", "member_group_id", "name"),
)


def map_groups() -> None:
    """Map each staged group to its existing or future row."""
    execute(
        """
        INSERT INTO group_map (scaikey_id, group_id, tenant_id)
        SELECT s.scaikey_id, COALESCE(g.id, s.new_id), t.tenant_id
        FROM stage_groups s JOIN tenant_map t ON t.scaikey_id = s.tenant_scaikey_id
        LEFT JOIN sw_groups g ON g.scaikey_id = s.scaikey_id AND g.tenant_id = t.tenant_id
        """
    )


def map_fetched_groups() -> None:
    """Map the groups whose members were fetched to their rows.

    Deactivated groups are included, since they may return with their old edges. Rows in a tenant
    that the group has left are not.
    """
    analyze("fetched_groups")
    execute(
        """
        INSERT INTO fetched_group_rows (group_id, scaikey_id)
        SELECT g.id, w.scaikey_id
        FROM fetched_groups w JOIN stage_groups s ON s.scaikey_id = w.scaikey_id
        JOIN sw_tenants t ON t.scaikey_tenant_id = s.tenant_scaikey_id
        JOIN sw_groups g ON g.scaikey_id = w.scaikey_id AND g.tenant_id = t.id
        """
    )
    analyze("fetched_group_rows")


def count_active() -> int:
    """Count the active edges of the fetched groups whose member ScaiKey manages."""
    edges = "fetched_group_rows w JOIN sw_group_memberships e ON e.group_id = w.group_id"
    number = int(fetch_one(f"SELECT count(*) FROM {edges} WHERE e.absent_since IS NULL")[0])
    for _, table, _, column, _ in _MEMBER_TYPES:
        number -= fetch_one(
            f"SELECT count(*) FROM {edges} JOIN {table} m ON m.id = e.{column} "
            "WHERE m.scaikey_id IS NULL AND e.absent_since IS NULL"
        )[0]
    return number


def count_in_scope() -> int:
    """Count the active edges of every tenant in scope, whatever was fetched."""
    sql = (
        "SELECT count(*) FROM sw_group_memberships e JOIN scope_tenants c "
        "ON c.tenant_id = e.tenant_id WHERE e.absent_since IS NULL"
    )
    return int(fetch_one(sql)[0])


def find_claims() -> None:
    """Stage a claim for each edge that the lists no longer show.

    The edges of a member that was removed or moved need no further proof. The edges of a group
    that returns end in any case, since they gave no access while it was deactivated.
    """
    for is_group, table, kind, column, _ in _MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO edge_claims (edge_id, tenant_id, group_scaikey_id, member_scaikey_id,
                                     is_group, state, note)
            SELECT e.id, e.tenant_id, w.scaikey_id, m.scaikey_id, {is_group},
                   CASE WHEN g.absent_since IS NOT NULL THEN 'returned'
                        WHEN m.absent_since IS NOT NULL
                          OR EXISTS (SELECT 1 FROM confirmed_removals x WHERE x.kind = '{kind}'
                                     AND x.scaikey_id = m.scaikey_id)
                          OR {_is_moved(kind)}
                        THEN 'proven' ELSE 'open' END, ''
            FROM fetched_group_rows w
            JOIN sw_group_memberships e ON e.group_id = w.group_id
            JOIN sw_groups g ON g.id = w.group_id
            JOIN {table} m ON m.id = e.{column}
            WHERE e.absent_since IS NULL AND m.scaikey_id IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM stage_memberships s WHERE s.group_scaikey_id = w.scaikey_id
                AND s.member_scaikey_id = m.scaikey_id AND s.is_group = {is_group})
            """
        )


def find_edges_of_returning_groups() -> None:
    """Stage a claim for each edge of a group that returns while its members were not fetched.

    It would give access again to people who have left it since then. The first list of its members
    that can be read restores the others.
    """
    for is_group, table, _, column, _ in _MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO edge_claims (edge_id, tenant_id, group_scaikey_id, member_scaikey_id,
                                     is_group, state, note)
            SELECT e.id, e.tenant_id, g.scaikey_id, m.scaikey_id, {is_group}, 'returned', ''
            FROM stage_groups r JOIN sw_tenants t ON t.scaikey_tenant_id = r.tenant_scaikey_id
            JOIN sw_groups g ON g.scaikey_id = r.scaikey_id AND g.tenant_id = t.id
            JOIN sw_group_memberships e ON e.group_id = g.id
            JOIN {table} m ON m.id = e.{column}
            WHERE g.absent_since IS NOT NULL AND e.absent_since IS NULL
              AND m.scaikey_id IS NOT NULL
              AND g.id NOT IN (SELECT group_id FROM fetched_group_rows) AND NOT EXISTS (
                SELECT 1 FROM stage_memberships s WHERE s.group_scaikey_id = r.scaikey_id
                AND s.member_scaikey_id = m.scaikey_id AND s.is_group = {is_group})
            """
        )


def _is_moved(kind: str) -> str:
    """SQL for whether member `m` is confirmed to be in another tenant now."""
    return (
        f"EXISTS (SELECT 1 FROM loss_claims y JOIN stage_{kind} s ON s.scaikey_id = y.scaikey_id "
        "JOIN sw_tenants t ON t.id = m.tenant_id "
        f"WHERE y.kind = '{kind}' AND y.scaikey_id = m.scaikey_id AND y.row_id = m.id "
        "AND y.state IN ('lost', 'assumed') "
        f"AND {is_distinct('s.tenant_scaikey_id', 't.scaikey_tenant_id')})"
    )


def find_edges_of_lost_members() -> None:
    """Stage a proven claim for each edge of a removed or moved member in a group not fetched:
    in a run for single records, or because the members can't be read."""
    for is_group, table, kind, column, _ in _MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO edge_claims (edge_id, tenant_id, group_scaikey_id, member_scaikey_id,
                                     is_group, state, note)
            SELECT e.id, e.tenant_id, g.scaikey_id, m.scaikey_id, {is_group}, 'proven', ''
            FROM {table} m
            JOIN sw_group_memberships e ON e.{column} = m.id
            JOIN sw_groups g ON g.id = e.group_id
            WHERE e.absent_since IS NULL AND g.absent_since IS NULL AND g.scaikey_id IS NOT NULL
              AND g.id NOT IN (SELECT group_id FROM fetched_group_rows)
              AND m.scaikey_id IN (SELECT scaikey_id FROM confirmed_removals WHERE kind = '{kind}'
                                   UNION SELECT scaikey_id FROM stage_{kind})
              AND (EXISTS (SELECT 1 FROM confirmed_removals x WHERE x.kind = '{kind}'
                           AND x.scaikey_id = m.scaikey_id)
                   OR {_is_moved(kind)})
            """
        )


def _keep_edges() -> None:
    """Keep the group memberships that would end in tenants whose removals are turned off."""
    execute(
        f"UPDATE edge_claims SET state = 'kept', note = {find_kept_note('edge_claims')} "
        "WHERE state IN ('open', 'proven') "
        "AND tenant_id IN (SELECT k.tenant_id FROM kept_tenants k)"
    )


@dataclass(frozen=True)
class EdgeConfirmer:
    """Decides the claims about edges by the rule in the docstring of this module."""

    client: ScaiKeyClient
    limit: RemovalLimit
    budget: LookupBudget
    scope: SyncScope
    progress_factory: ProgressFactory
    now: datetime
    result: Confirmation

    def confirm(self, present: int) -> None:
        find_claims()
        if self.scope.targets_only or _has_groups_not_fetched():
            find_edges_of_lost_members()
            find_edges_of_returning_groups()
        if self.scope.targets_only:
            present = count_in_scope()
        _keep_edges()
        if not _count_open():
            return
        analyze("edge_claims")
        pending.match_edge_claims(now=self.now, only_kept=self.limit.allowed is not None)
        for groups in batched(pending.list_approved_groups(self.now), GROUPS_READ_AGAIN):
            self._read_again(groups, LookupBudget(None, None))
        self._apply_limit(present)
        last, done = "", 0
        total = int(
            fetch_one(
                "SELECT count(DISTINCT group_scaikey_id) FROM edge_claims WHERE state = 'open'"
            )[0]
        )
        with self.progress_factory("Reading group members again") as progress:
            while groups := _list_open_groups(after=last, limit=GROUPS_READ_AGAIN):
                if not self._read_again(groups):
                    _postpone_open(Reason.BUDGET_SPENT)
                last, done = groups[-1], done + len(groups)
                progress(done, total)
        self._warn()

    def _apply_limit(self, total: int) -> None:
        claimed = _count_open()
        if self.limit.allowed is not None and claimed <= self.limit.allowed:
            return
        if self.limit.is_exceeded(claimed, total):
            if self._is_confirmed_by_sample(""):
                _assume("")
            return
        if self.scope.tenant_only or self.limit.allowed is not None:
            # --allow-removals lifts the budget, so that every claim is looked up.
            return
        rows = fetch(
            "SELECT tenant_id, count(*) FROM edge_claims WHERE state = 'open' GROUP BY tenant_id "
            "HAVING count(*) > %s",
            [self.limit.limit],
        )
        if rows:
            index_filled("edge_claims", "tenant_id")
        for tenant_id, number in rows:
            present = fetch_one(
                "SELECT count(*) FROM sw_group_memberships "
                "WHERE tenant_id = %s AND absent_since IS NULL",
                [str(tenant_id)],
            )[0]
            if not self.limit.is_exceeded(int(number), int(present)):
                continue
            if not self._is_confirmed_by_sample(str(tenant_id)):
                return
            _assume(str(tenant_id))

    def _is_confirmed_by_sample(self, tenant_id: str) -> bool:
        """Read a sample of groups again, and return whether only removals were confirmed.

        Otherwise all open claims are decided: as inconsistent if an edge still exists, and as
        postponed if nothing is proven.
        """
        groups = _draw_open_groups(limit=SAMPLE_SIZE, tenant_id=tenant_id)
        self._read_again(groups)
        marks = ", ".join(["%s"] * len(groups))
        states = dict(
            fetch(
                "SELECT state, count(*) FROM edge_claims "
                f"WHERE group_scaikey_id IN ({marks}) GROUP BY state",
                groups,
            )
        )
        if states.get("lost") and not states.get("exists"):
            return True
        if states.get("exists"):
            stopped_count = execute(
                "UPDATE edge_claims SET state = 'inconsistent', note = %s WHERE state = 'open'",
                [Reason.INCONSISTENT],
            )
            if stopped_count:
                self.result.inconsistent.append(KIND)
        else:
            _postpone_open(Reason.MEMBERS_INCOMPLETE)
        return False

    def _read_again(self, groups: list[str], budget: LookupBudget | None = None) -> bool:
        """Read the members of groups twice more, and decide their claims.

        Returns False if the budget was spent before the last group.
        """
        keys = (budget or self.budget).limit(groups)
        with closing(self.client.iter_members(keys, to_end=True)) as lists:
            first_lists = dict(map(_drop_unreadable, lists))
        documents = self._read_documents(first_lists)
        sizes = {
            group_id: _other_page_size(members)
            for group_id, members in first_lists.items()
            if members is not None and group_id not in documents
        }
        second_lists = dict(
            map(_drop_unreadable, self.client.iter_members(sizes, to_end=True, per_page=sizes))
        )
        readings = []
        for group_id, first in first_lists.items():
            document = documents.get(group_id)
            if document is not None:
                # Documents may be cut off, so that even two of them prove nothing.
                is_proof = first is not None and first.is_complete
                readings.append(_Reading(group_id, (document, first), is_proof))
            else:
                second = second_lists.get(group_id)
                readings.append(_Reading(group_id, (first, second), _are_proof(first, second)))
        _decide(readings)
        return len(first_lists) == len(groups)

    def _read_documents(self, groups: Iterable[str]) -> dict[str, ScimGroup]:
        """Read the groups by id whose members were fetched by SCIM."""
        documents = {}
        for batch in batched(groups):
            rows = fetch(
                "SELECT scaikey_id, scim_tenant_id FROM fetched_groups "
                f"WHERE scim_tenant_id <> '' AND scaikey_id IN ({', '.join(['%s'] * len(batch))})",
                batch,
            )
            for group_id, tenant_id in rows:
                group = self.client.get_scim_group(tenant_id, group_id)
                if group is not None and group.people is not None:
                    documents[group_id] = group
        return documents

    def _warn(self) -> None:
        if number := _count("exists"):
            self.result.warnings.append(
                f"ScaiKey's lists omitted {pluralize(number, 'group membership')} that still exist."
            )
        number = _count("postponed") + _count("inconsistent")
        if not number:
            return
        names = fetch(
            """
            SELECT DISTINCT g.name, g.scaikey_id FROM edge_claims c
            JOIN sw_group_memberships e ON e.id = c.edge_id JOIN sw_groups g ON g.id = e.group_id
            WHERE c.state IN ('postponed', 'inconsistent') ORDER BY g.name, g.scaikey_id
            """
        )
        examples = [f"{name} ({scaikey_id})" for name, scaikey_id in names[:MAX_NAMED]]
        self.result.warnings.append(
            f"Postponed {pluralize(number, 'membership removal')}: ScaiKey's lists of members "
            f"prove nothing for {join_examples(examples, len(names))}."
        )


def _has_groups_not_fetched() -> bool:
    """Whether ScaiKey lists a group, and did not return its members."""
    return bool(
        fetch(
            "SELECT 1 FROM stage_groups "
            "WHERE scaikey_id NOT IN (SELECT scaikey_id FROM fetched_groups) LIMIT 1"
        )
    )


def _drop_unreadable(
    reading: tuple[str, MemberList | UnreadableList | None],
) -> tuple[str, MemberList | None]:
    """A list that can't be read proves as little as none."""
    group_id, members = reading
    return group_id, None if isinstance(members, UnreadableList) else members


def _other_page_size(members: MemberList) -> int:
    """Return a page size that differs from the first one even if the server caps pages."""
    return max(1, members.page_size * 2 // 3)


@dataclass(frozen=True)
class _Reading:
    """What was read again of one group, and whether edges in none of the lists have ended."""

    group_id: str
    lists: tuple[MemberList | ScimGroup | None, ...]
    is_proof: bool


def _decide(readings: list[_Reading]) -> None:
    """Decide the open claims about groups that were read again.

    An edge in any of the lists exists. One in none of them has ended if the lists are proof, and is
    postponed otherwise.
    """
    states = {True: ("lost", ""), False: ("postponed", Reason.MEMBERS_INCOMPLETE)}
    execute("DELETE FROM lookups")
    copy_rows("lookups", ((KIND, each.group_id, *states[each.is_proof], "") for each in readings))
    analyze("lookups")
    if existing := _find_existing(readings):
        _restage(existing)
        execute(
            """
            UPDATE edge_claims SET state = 'exists'
            WHERE state = 'open' AND group_scaikey_id IN (SELECT scaikey_id FROM lookups)
              AND EXISTS (SELECT 1 FROM stage_memberships s
                          WHERE s.group_scaikey_id = edge_claims.group_scaikey_id
                            AND s.member_scaikey_id = edge_claims.member_scaikey_id
                            AND s.is_group = edge_claims.is_group)
            """
        )
    for state, note in states.values():
        execute(
            "UPDATE edge_claims SET state = %s, note = %s WHERE state = 'open' "
            "AND group_scaikey_id IN (SELECT scaikey_id FROM lookups WHERE result = %s)",
            [state, note, state],
        )


def _find_existing(readings: list[_Reading]) -> list[tuple[str, str, int]]:
    """Return the edges with an open claim that one of the lists has."""
    claimed: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for group_id, *member in fetch(
        "SELECT c.group_scaikey_id, c.member_scaikey_id, c.is_group "
        "FROM lookups l CROSS JOIN edge_claims c "
        "WHERE c.group_scaikey_id = l.scaikey_id AND c.state = 'open'"
    ):
        claimed[group_id].add((member[0], member[1]))
    existing: list[tuple[str, str, int]] = []
    for reading in readings:
        seen = {
            pair
            for members in reading.lists
            if members is not None
            for pair in _iter_memberships(members)
        }
        existing += ((reading.group_id, *pair) for pair in sorted(claimed[reading.group_id] & seen))
    return existing


def _iter_memberships(members: MemberList | ScimGroup) -> Iterator[tuple[str, int]]:
    if isinstance(members, ScimGroup):
        return members.iter_memberships()
    return direct_memberships(members.records)


def _are_proof(first: MemberList | None, second: MemberList | None) -> bool:
    if first is None or second is None:
        return False
    fits_one_page = len(first.records) <= first.page_size and len(second.records) <= (
        second.page_size
    )
    sizes_differ = first.page_size != second.page_size
    return first.is_complete and second.is_complete and (sizes_differ or fits_one_page)


def _restage(edges: Iterable[tuple[str, str, int]]) -> None:
    """Stage edges that only a later list showed."""
    last = int(fetch_one("SELECT COALESCE(max(n), 0) FROM stage_memberships")[0])
    copy_rows(
        "stage_memberships",
        ((number, new_id_hex(), *edge) for number, edge in enumerate(edges, last + 1)),
    )


def _list_open_groups(*, after: str, limit: int) -> list[str]:
    """Return the next groups with open claims, in the order of their ids."""
    rows = fetch(
        "SELECT DISTINCT group_scaikey_id FROM edge_claims "
        "WHERE state = 'open' AND group_scaikey_id > %s ORDER BY group_scaikey_id LIMIT %s",
        [after, limit],
    )
    return [row[0] for row in rows]


def _draw_open_groups(*, limit: int, tenant_id: str) -> list[str]:
    """Draw groups with open claims at random, of one tenant if it is not empty."""
    where, params = "", []
    if tenant_id:
        where, params = "AND tenant_id = %s", [tenant_id]
    rows = fetch(
        "SELECT group_scaikey_id FROM (SELECT DISTINCT group_scaikey_id FROM edge_claims "
        f"WHERE state = 'open' {where}) AS g ORDER BY random() LIMIT %s",
        [*params, limit],
    )
    return [row[0] for row in rows]


def _assume(tenant_id: str) -> int:
    if tenant_id:
        return execute(
            "UPDATE edge_claims SET state = 'assumed' WHERE state = 'open' AND tenant_id = %s",
            [tenant_id],
        )
    return execute("UPDATE edge_claims SET state = 'assumed' WHERE state = 'open'")


def _postpone_open(note: str) -> None:
    execute("UPDATE edge_claims SET state = 'postponed', note = %s WHERE state = 'open'", [note])


def _count_open() -> int:
    return _count("open")


def _count(state: str) -> int:
    return int(fetch_one("SELECT count(*) FROM edge_claims WHERE state = %s", [state])[0])


def plan_removals() -> None:
    """Plan to deactivate the edges that are confirmed as ended."""
    _plan_claims("deactivate", f"'{Reason.MEMBER_REMOVED}'", ("lost", "assumed", "proven"))
    _plan_claims("deactivate", f"'{Reason.NOT_RETURNED}'", ("returned",))


def plan_skips() -> None:
    """Add to the plan what is skipped, so that it is counted and listed: postponed removals, and
    groups whose members can't be read."""
    _plan_claims("skipped", "c.note", ("postponed", "inconsistent", "kept"))
    execute(
        """
        INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason, detail)
        SELECT %s, 'skipped', COALESCE(g.id, s.new_id), COALESCE(t.id, a.new_id), u.scaikey_id,
               'members of ' || s.name, %s, u.detail
        FROM unreadable_lists u
        JOIN stage_groups s ON u.kind = 'memberships' AND s.scaikey_id = u.scaikey_id
        LEFT JOIN stage_tenants a ON a.scaikey_id = s.tenant_scaikey_id
        LEFT JOIN sw_tenants t ON t.scaikey_tenant_id = s.tenant_scaikey_id
        LEFT JOIN sw_groups g ON g.scaikey_id = s.scaikey_id AND g.tenant_id = t.id
        """,
        [KIND, Reason.UNREADABLE],
    )


def _plan_claims(action: str, reason: str, states: tuple[str, ...]) -> None:
    marks = ", ".join(f"'{state}'" for state in states)
    for is_group, table, _, column, name in _MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO sync_plan (kind, action, row_id, tenant_id, scaikey_id, name, reason)
            SELECT %s, '{action}', e.id, e.tenant_id,
                   c.group_scaikey_id || ' ' || c.member_scaikey_id,
                   m.{name} || ' in ' || g.name, {reason}
            FROM edge_claims c
            JOIN sw_group_memberships e ON e.id = c.edge_id
            JOIN sw_groups g ON g.id = e.group_id
            JOIN {table} m ON m.id = e.{column}
            WHERE c.is_group = {is_group} AND c.state IN ({marks})
            """,
            [KIND],
        )


def count_unseen() -> int:
    """Count the edges of the database in fetched groups that no list showed."""
    sql = (
        "SELECT count(*) FROM edge_claims WHERE state <> 'exists' "
        "AND group_scaikey_id IN (SELECT scaikey_id FROM fetched_group_rows)"
    )
    return int(fetch_one(sql)[0])


def plan_changes() -> None:
    """Plan edges to add and restore: for existing members, then for new ones of this run."""
    analyze("sync_plan", "tenant_map", "group_map")
    for is_group, table, kind, column, name in _MEMBER_TYPES:
        _plan_for_known(is_group, table, column, name)
        if _has_additions(kind):
            _plan_for_new(is_group, kind)


def _plan_for_known(is_group: int, table: str, column: str, name: str) -> None:
    """Plan edges of members that exist: first all as additions, of which the known are restored."""
    execute(
        f"""
        INSERT INTO new_edges (n, is_group, row_id, tenant_id, group_id, member_id)
        SELECT s.n, {is_group}, COALESCE(e.id, s.new_id), g.tenant_id, g.group_id, m.id
        FROM stage_memberships s
        JOIN group_map g ON g.scaikey_id = s.group_scaikey_id
        JOIN {table} m ON m.scaikey_id = s.member_scaikey_id AND m.tenant_id = g.tenant_id
        LEFT JOIN sw_group_memberships e ON e.group_id = g.group_id AND e.{column} = m.id
        WHERE s.is_group = {is_group} AND (e.id IS NULL OR e.absent_since IS NOT NULL)
        """
    )
    restored = execute(
        f"""
        INSERT INTO sync_plan (kind, action, row_id, tenant_id, n, scaikey_id, name, reason,
                               group_id, member_id)
        SELECT %s, 'restore', d.row_id, d.tenant_id, d.n,
               s.group_scaikey_id || ' ' || s.member_scaikey_id, m.{name},
               '{Reason.MEMBER_RESTORED}', d.group_id, d.member_id
        FROM new_edges d JOIN sw_group_memberships e ON e.id = d.row_id
        JOIN stage_memberships s ON s.n = d.n JOIN {table} m ON m.id = d.member_id
        WHERE d.is_group = {is_group}
        """,
        [KIND],
    )
    if restored:
        execute("DELETE FROM new_edges WHERE row_id IN (SELECT id FROM sw_group_memberships)")


def count_additions() -> int:
    return int(fetch_one("SELECT count(*) FROM new_edges")[0])


def _has_additions(kind: str) -> bool:
    return _count_planned_additions(kind) > 0


def _count_planned_additions(kind: str) -> int:
    sql = "SELECT count(*) FROM sync_plan WHERE kind = %s AND action = 'add'"
    return int(fetch_one(sql, [kind])[0])


def _plan_for_new(is_group: int, kind: str) -> None:
    tables = "sync_plan m CROSS JOIN stage_memberships s CROSS JOIN group_map g"
    same_member = "s.member_scaikey_id = m.scaikey_id"
    # PostgreSQL joins by hash. SQLite joins in this order.
    if connection.vendor == "sqlite":
        if _are_most_new(kind):
            # In the order of arrival: rows in the order of the members take a third longer.
            tables = (
                "stage_memberships s CROSS JOIN group_map g "
                f"CROSS JOIN stage_{kind} x CROSS JOIN sync_plan m"
            )
            same_member = "x.scaikey_id = s.member_scaikey_id AND m.n = x.n"
        else:
            execute(
                "CREATE INDEX IF NOT EXISTS stage_memberships_member "
                "ON stage_memberships (member_scaikey_id)"
            )
    execute(
        f"""
        INSERT INTO new_edges (n, is_group, row_id, tenant_id, group_id, member_id)
        SELECT s.n, {is_group}, s.new_id, g.tenant_id, g.group_id, m.row_id FROM {tables}
        WHERE m.kind = %s AND m.action = 'add' AND s.is_group = {is_group} AND {same_member}
          AND g.scaikey_id = s.group_scaikey_id AND g.tenant_id = m.tenant_id
        """,
        [kind],
    )


def _are_most_new(kind: str) -> bool:
    staged = int(fetch_one(f"SELECT count(*) FROM stage_{kind}")[0])
    return _count_planned_additions(kind) * 2 > staged


def deactivate(now: datetime) -> None:
    execute(
        """
        UPDATE sw_group_memberships AS e SET absent_since = %s, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action = 'deactivate' AND e.id = d.row_id
        """,
        [datetime_param(now), datetime_param(now), KIND],
    )


def update(now: datetime) -> None:
    execute(
        """
        UPDATE sw_group_memberships AS e SET absent_since = NULL, updated_at = %s FROM sync_plan d
        WHERE d.kind = %s AND d.action = 'restore' AND e.id = d.row_id
        """,
        [datetime_param(now), KIND],
    )


def insert(now: datetime) -> None:
    """Write the new edges. The members and groups of this run must be written before."""
    for is_group, _, _, column, _ in _MEMBER_TYPES:
        execute(
            f"""
            INSERT INTO sw_group_memberships
                (id, tenant_id, group_id, {column}, created_at, updated_at)
            SELECT d.row_id, d.tenant_id, d.group_id, d.member_id, %s, %s
            FROM new_edges d WHERE d.is_group = {is_group}
            """,
            [datetime_param(now), datetime_param(now)],
        )
