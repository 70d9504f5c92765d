"""Claims about group memberships: which edges would end by the lists, and the proof of each.

An edge ends only if its member is confirmed as removed from ScaiKey, or if two complete lists of
the group's members lack it; for members that were read by SCIM, the group's document and one such
list. A list is complete if it was read to an empty page, matches every reported total, repeats no
record and has no unreadable one. The second list uses a different page size, which exposes replicas
that disagree. Other differences between the two lists don't matter, so that a busy group still
loses the members who left. Everything else is postponed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from identity_sync.reasons import Reason
from identity_sync.sync.confirm import claims
from identity_sync.sync.confirm.decisions import match_claims
from identity_sync.sync.confirm.look_up import Confirmer
from identity_sync.sync.fetch.kinds import MEMBER_TYPES, MEMBERSHIPS
from identity_sync.sync.fetch.lists import MAX_NAMED, direct_memberships
from identity_sync.sync.rules import LookupBudget
from identity_sync.sync.staging import analyze, copy_rows
from identity_sync.sync.states import ClaimState
from scaiwave.clients.scaikey.results import MemberList, UnreadableList
from scaiwave.clients.scaikey.scim import ScimGroup
from scaiwave.console.text import join_examples, pluralize
from scaiwave.core.sql import batched, execute, fetch, fetch_number, is_distinct

_NOT_STAGED = """
    NOT EXISTS (SELECT 1 FROM stage_memberships s_e WHERE s_e.group_scaikey_id = g.scaikey_id
                AND s_e.member_scaikey_id = m.scaikey_id AND s_e.is_group = {is_group})
"""
_NOT_FETCHED = "g.id NOT IN (SELECT group_id FROM fetched_group_rows)"
# Whether the member is confirmed as removed, or to be in another tenant now.
_IS_GONE = """
    (EXISTS (SELECT 1 FROM confirmed_removals cr WHERE cr.kind = '{kind}'
             AND cr.scaikey_id = m.scaikey_id)
     OR EXISTS (SELECT 1 FROM loss_claims c JOIN stage_{kind} s ON s.scaikey_id = c.scaikey_id
                JOIN sw_tenants t ON t.id = m.tenant_id
                WHERE c.kind = '{kind}' AND c.scaikey_id = m.scaikey_id AND c.row_id = m.id
                  AND c.state IN ('confirmed', 'waiting')
                  AND {is_elsewhere}))
"""


def _stage_claims(state: str, source: str, where: str) -> None:
    """Stage claims about the edges `e` of groups `g` to members `m`, of each type of member.

    All three are SQL, where `{table}`, `{kind}`, `{column}` and `{is_group}` stand for the type.
    """
    # Not in a constant: a process may import this before it knows its database.
    is_elsewhere = is_distinct("s.tenant_scaikey_id", "t.scaikey_tenant_id")
    found = 0
    for is_group, table, kind, column, _ in MEMBER_TYPES:
        sql = f"""
            INSERT INTO loss_claims (kind, scaikey_id, row_id, tenant_id, member_scaikey_id,
                                     is_group, is_absent, state, note)
            SELECT '{MEMBERSHIPS}', g.scaikey_id, e.id, e.tenant_id, m.scaikey_id, {{is_group}}, 0,
                   {state}, ''
            FROM {source} WHERE e.absent_since IS NULL AND m.scaikey_id IS NOT NULL AND {where}
        """
        names = {"table": table, "kind": kind, "column": column, "is_group": is_group}
        found += execute(sql.format(is_elsewhere=is_elsewhere, **names))
    if found:
        analyze("loss_claims")  # Even if none is open: the plan is made of all of them.


def find_claims() -> None:
    """Stage a claim for each edge that the lists no longer show.

    The edges of a member that was removed or moved need no further proof. The edges of a group
    that returns end in any case, since they gave no access while it was deactivated.
    """
    _stage_claims(
        f"""
        CASE WHEN g.absent_since IS NOT NULL THEN 'returned'
             WHEN m.absent_since IS NOT NULL OR {_IS_GONE} THEN 'implied' ELSE 'open' END
        """,
        """
        fetched_group_rows fr JOIN sw_group_memberships e ON e.group_id = fr.group_id
        JOIN sw_groups g ON g.id = fr.group_id JOIN {table} m ON m.id = e.{column}
        """,
        _NOT_STAGED,
    )


def find_edges_of_returning_groups() -> None:
    """Stage a claim for each edge of a group that returns while its members were not fetched.

    It would give access again to people who have left it since then. The first list of its members
    that can be read restores the others.
    """
    _stage_claims(
        "'returned'",
        """
        stage_groups s_g JOIN sw_tenants t ON t.scaikey_tenant_id = s_g.tenant_scaikey_id
        JOIN sw_groups g ON g.scaikey_id = s_g.scaikey_id AND g.tenant_id = t.id
        JOIN sw_group_memberships e ON e.group_id = g.id JOIN {table} m ON m.id = e.{column}
        """,
        f"g.absent_since IS NOT NULL AND {_NOT_FETCHED} AND {_NOT_STAGED}",
    )


def find_edges_of_lost_members() -> None:
    """Stage an implied claim for each edge of a removed or moved member in a group not fetched:
    in a run for single records, or because the members can't be read."""
    _stage_claims(
        "'implied'",
        """
        {table} m JOIN sw_group_memberships e ON e.{column} = m.id
        JOIN sw_groups g ON g.id = e.group_id
        """,
        f"""
        g.absent_since IS NULL AND g.scaikey_id IS NOT NULL AND {_NOT_FETCHED}
        AND m.scaikey_id IN (SELECT scaikey_id FROM confirmed_removals WHERE kind = '{{kind}}'
                             UNION SELECT scaikey_id FROM stage_{{kind}}) AND {_IS_GONE}
        """,
    )


class EdgeConfirmer(Confirmer):
    """Decides the claims about edges by the rule in the docstring of this module."""

    unproven = Reason.MEMBERS_INCOMPLETE
    label = "Reading group members again"
    batch_size = 500  # groups, with two lists of the members of each

    def confirm_edges(self, present: int) -> None:
        find_claims()
        unread = fetch(
            "SELECT 1 FROM stage_groups "
            "WHERE scaikey_id NOT IN (SELECT scaikey_id FROM fetched_groups) LIMIT 1"
        )
        if self.source.scope.announced_only or unread:
            find_edges_of_lost_members()
            find_edges_of_returning_groups()
        if self.source.scope.announced_only:
            # The edges of every tenant in scope, whatever was fetched.
            present = fetch_number(
                "SELECT count(*) FROM sw_group_memberships e JOIN scope_tenants sc "
                "ON sc.tenant_id = e.tenant_id WHERE e.absent_since IS NULL"
            )
        claims.turn_off_claims(MEMBERSHIPS)
        if not claims.measure_open(MEMBERSHIPS):
            return
        match_claims(MEMBERSHIPS, now=self.now, only_kept=self.limit.allowed is not None)
        self._decide(MEMBERSHIPS, present)
        self._warn(MEMBERSHIPS)

    def _look_up(self, kind: str, ids: list[str], budget: LookupBudget | None = None) -> bool:
        """Read the members of groups twice more, and decide their claims.

        Returns False if the budget was spent before the last group.
        """
        keys = (budget or self.budget).limit(ids)
        with closing(self.source.client.iter_members(keys, to_end=True)) as lists:
            first_lists = dict(map(_drop_unreadable, lists))
        documents = self._read_documents(first_lists)
        # A size that differs from the first one even if the server caps pages.
        sizes = {
            group_id: max(1, members.page_size * 2 // 3)
            for group_id, members in first_lists.items()
            if members is not None and group_id not in documents
        }
        second_lists = dict(
            map(
                _drop_unreadable,
                self.source.client.iter_members(sizes, to_end=True, per_page=sizes),
            )
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
        return len(first_lists) == len(ids)

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
                group = self.source.client.get_scim_group(tenant_id, group_id)
                if group is not None and group.people is not None:
                    documents[group_id] = group
        return documents

    def _warn(self, kind: str) -> None:
        states = claims.count_states(kind)
        if number := states.get(ClaimState.REFUTED):
            self.warnings.append(
                f"ScaiKey's lists omitted {pluralize(number, 'group membership')} that still exist."
            )
        number = states.get(ClaimState.POSTPONED, 0) + states.get(ClaimState.INCONSISTENT, 0)
        if not number:
            return
        names = fetch(
            """
            SELECT DISTINCT g.name, g.scaikey_id FROM loss_claims c
            JOIN sw_group_memberships e ON e.id = c.row_id JOIN sw_groups g ON g.id = e.group_id
            WHERE c.kind = %s AND c.state IN ('postponed', 'inconsistent')
            ORDER BY g.name, g.scaikey_id
            """,
            [kind],
        )
        examples = [f"{name} ({scaikey_id})" for name, scaikey_id in names[:MAX_NAMED]]
        self.warnings.append(
            f"Postponed {pluralize(number, 'membership removal')}: ScaiKey's lists of members "
            f"prove nothing for {join_examples(examples, len(names))}."
        )


def _drop_unreadable(
    reading: tuple[str, MemberList | UnreadableList | None],
) -> tuple[str, MemberList | None]:
    """A list that can't be read proves as little as none."""
    group_id, members = reading
    return group_id, None if isinstance(members, UnreadableList) else members


@dataclass(frozen=True)
class _Reading:
    """The lists of one group that were read again, and whether edges in none of them have ended."""

    group_id: str
    lists: tuple[MemberList | ScimGroup | None, ...]
    is_proof: bool


def _decide(readings: list[_Reading]) -> None:
    """Decide the open claims about groups that were read again.

    An edge in any of the lists exists. One in none of them has ended if the lists are proof, and is
    postponed otherwise.
    """
    states = {
        True: (ClaimState.CONFIRMED, ""),
        False: (ClaimState.POSTPONED, Reason.MEMBERS_INCOMPLETE),
    }
    execute("DELETE FROM lookups")
    copy_rows(
        "lookups", ((MEMBERSHIPS, each.group_id, *states[each.is_proof], "") for each in readings)
    )
    analyze("lookups")
    if existing := _find_existing(readings):
        last = fetch_number("SELECT max(n) FROM stage_memberships")
        copy_rows(
            "stage_memberships", ((number, *edge) for number, edge in enumerate(existing, last + 1))
        )
        execute(
            """
            UPDATE loss_claims SET state = 'refuted'
            WHERE kind = %s AND state = 'open' AND scaikey_id IN (SELECT scaikey_id FROM lookups)
              AND EXISTS (SELECT 1 FROM stage_memberships s_e
                          WHERE s_e.group_scaikey_id = loss_claims.scaikey_id
                            AND s_e.member_scaikey_id = loss_claims.member_scaikey_id
                            AND s_e.is_group = loss_claims.is_group)
            """,
            [MEMBERSHIPS],
        )
    claims.decide_open()


def _find_existing(readings: list[_Reading]) -> list[tuple[str, str, int]]:
    """Return the edges with an open claim that one of the lists has."""
    claimed: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for group_id, *member in fetch(
        "SELECT c.scaikey_id, c.member_scaikey_id, c.is_group FROM lookups l "
        "CROSS JOIN loss_claims c WHERE c.kind = l.kind AND c.scaikey_id = l.scaikey_id "
        "AND c.state = 'open'"
    ):
        claimed[group_id].add((member[0], member[1]))
    existing: list[tuple[str, str, int]] = []
    for reading in readings:
        seen = {
            pair
            for members in reading.lists
            if members is not None
            for pair in (
                members.iter_memberships()
                if isinstance(members, ScimGroup)
                else direct_memberships(members.records)
            )
        }
        existing += ((reading.group_id, *pair) for pair in sorted(claimed[reading.group_id] & seen))
    return existing


def _are_proof(first: MemberList | None, second: MemberList | None) -> bool:
    if first is None or second is None:
        return False
    fits_one_page = len(first.records) <= first.page_size and len(second.records) <= (
        second.page_size
    )
    sizes_differ = first.page_size != second.page_size
    return first.is_complete and second.is_complete and (sizes_differ or fits_one_page)
