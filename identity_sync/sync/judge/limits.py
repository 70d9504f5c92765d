"""The removal limit: which losses of access a run may apply, and which wait for a decision.

A count alone would stop large servers for no reason, and a share alone small ones, so a limit is
exceeded only by more than both. Every loss of access counts, whatever its cause, in a measure of
its own (`losses`). Losses of the runs of the last hours count too: a series of small runs
must not remove more than a single one may. For kinds with few rows (tenants, partners, groups) the
dependent people, grants and memberships count instead.

Over the limit of a tenant or of the server, every removal of that measure there waits, never only
some. Tenants are judged first. What waits for a tenant does not count for the server, and what is
kept counts nowhere, so that the rows of one tenant never hold up another.

A tenant or partner that ScaiKey itself reports as suspended is one loss, with a limit of its own,
and its people count nowhere else. People whom webhooks announce have another limit of their own, in
order of arrival.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from identity_sync.errors import RemovalLimitExceeded, SyncCollectionEmpty
from identity_sync.models import Limit
from identity_sync.report import LOSSES, CountedLosses
from identity_sync.sync.fetch.kinds import count_rows
from identity_sync.sync.judge.losses import (
    AFFECTED,
    LOST_TENANTS,
    count_affected,
    count_losses,
    count_losses_by_tenant,
    stage_losses,
    stage_removals,
)
from identity_sync.sync.judge.removals import count_pending
from identity_sync.sync.judge.skip import SKIPPED_TENANTS, skip_set_aside
from identity_sync.sync.plan.make_plan import (
    Plan,
    cancel_renames,
    count_plan,
    rename_removed_tenants,
)
from identity_sync.sync.rules import RemovalLimit, Rules
from identity_sync.sync.staging import copy_rows
from identity_sync.sync.states import APPLIED
from scaiwave.core.sql import execute, fetch, fetch_number, sql_list, to_uuid, uuid_param
from tenants.models import Tenant

FEW_ROWS = 200
"""Below this number of rows of a kind, only what depends on them counts."""

ANNOUNCED = "announced_people"
SUSPENDED_TENANTS = "suspended_tenants"
SUSPENDED_PEOPLE = "suspended_people"
"""Measures of their own: people named by webhooks; tenants that ScaiKey suspends, with people."""

_LABELS = {
    AFFECTED: "people would lose access, a role or a group membership",
    "people": "people would lose access",
    "grants": "role grants would be revoked",
    "memberships": "group memberships would end",
    "groups": "groups would be deactivated",
    "tenants": "tenants would be lost",
    "partners": "partners would be lost",
}

# The kinds of removals that cause the losses of a measure, in one tenant.
_CAUSES = {
    "people": ("participants", "tenants"),
    "grants": ("grants", "groups"),
    "memberships": ("memberships", "groups"),
    "groups": ("groups",),
    "tenants": ("tenants",),
    "partners": ("partners",),
    AFFECTED: ("participants", "tenants", "grants", "memberships", "groups"),
}

# Losses over their tenant's limit don't count for the server, losses with their own limit nowhere.
_COUNTED = "(r.state = 'due' OR r.state = 'pending' AND r.limit_code IN ('', {}))"
_OF_SERVER = _COUNTED.format(f"'{Limit.SERVER}'")
_OF_TENANTS = _COUNTED.format(f"'{Limit.SERVER}', '{Limit.TENANT}'")


@dataclass(frozen=True)
class Verdict:
    """The losses of access that `plan` still has once the removals that wait are skipped.

    `losses` counts them by measure, `losses_by_tenant` by measure and tenant. `counted` are the
    ones that count for the limit of later runs, and `apart` the ones among them that have a limit
    of their own. `pending` is the number of removals that wait.
    """

    plan: Plan
    losses: dict[str, int]
    losses_by_tenant: dict[tuple[str, str], int]
    counted: list[CountedLosses]
    apart: list[CountedLosses]
    pending: int


def judge_plan(plan: Plan, rules: Rules) -> Verdict:
    """Decide which removals of a plan wait, and skip them.

    Raises `SyncCollectionEmpty` if a whole list is empty: then nothing may be applied.
    """
    return skip_waiting(plan, _set_aside_over_limit(plan, rules))


def skip_waiting(plan: Plan, apart: list[CountedLosses]) -> Verdict:
    """Skip the removals that are set aside, and measure what is left of the plan."""
    # First, so that what is skipped next does not count such a rename as a slug that becomes free.
    cancelled = cancel_renames()
    if skip_set_aside() + cancelled:
        count_plan(plan)
    rename_removed_tenants(plan)
    counted = apart + _list_counted_losses()
    stage_losses(APPLIED)
    return Verdict(plan, count_losses(), count_losses_by_tenant(), counted, apart, count_pending())


def _set_aside_over_limit(plan: Plan, rules: Rules) -> list[CountedLosses]:
    """Let every removal wait that belongs to a measure over its limit.

    Returns the applied losses that have a limit of their own.
    """
    limit = rules.limit
    has_removals = stage_removals(rules.now)
    stage_losses("r.state NOT IN ('kept', 'off')")
    losses = count_losses()
    is_unproven = fetch(
        "SELECT 1 FROM removals WHERE is_unproven = 1 AND state = 'pending' LIMIT 1"
    )
    if limit.allows(sum(losses.values())) and not is_unproven:
        execute(
            "UPDATE removals SET state = 'allowed' WHERE state NOT IN ('kept', 'off', 'covered') "
            f"AND limit_code <> '{Limit.KEPT}'"
        )
        return []
    _ensure_lists_not_empty(plan, losses, rules)
    if not has_removals:
        return []
    apart = _judge_announced(limit) + _judge_suspensions(limit)
    stage_losses(_OF_TENANTS)
    _judge_lost_tenants(limit)
    _judge_tenants(limit, LOSSES)
    stage_losses(_OF_SERVER)
    _judge_server(limit, LOSSES)
    # Of what would still be applied: a person who loses several things counts once.
    stage_losses("r.state = 'due'")
    _judge_tenants(limit, (AFFECTED,))
    stage_losses("r.state = 'due'")
    _judge_server(limit, (AFFECTED,))
    # Claims that were not looked up may never be applied.
    _set_aside(Limit.SERVER, "state = 'pending' AND limit_code = ''")
    return apart


def _list_counted_losses() -> list[CountedLosses]:
    """Return the losses that are applied within the limit."""
    stage_losses("r.state = 'due'")
    return [CountedLosses(*key, n) for key, n in sorted(count_losses_by_tenant().items())]


# Due, or not looked up in this run and not yet over a limit.
_IS_DUE = "(state = 'due' OR state = 'pending' AND limit_code = '')"


def _set_aside(limit_code: Limit, where: str, params: Sequence[str] = ()) -> None:
    """Let the removals wait that meet a condition; their first limit is recorded."""
    execute(
        "UPDATE removals SET state = 'pending', limit_code = CASE WHEN limit_code = '' THEN %s "
        f"ELSE limit_code END WHERE {where}",
        [limit_code, *params],
    )


def _set_aside_in_tenants(tenants: Iterable[str], where: str) -> None:
    """Set aside the removals in these tenants that meet a condition with `SKIPPED_TENANTS`."""
    execute("DELETE FROM skipped_tenants")
    copy_rows("skipped_tenants", ((uuid_param(to_uuid(tenant)),) for tenant in tenants))
    _set_aside(Limit.TENANT, f"{_IS_DUE} AND {where}")


def _judge_announced(limit: RemovalLimit) -> list[CountedLosses]:
    """Apply people whom webhooks named one after the other, until the limit is reached."""
    rows = fetch(
        "SELECT r.row_id, r.tenant_id FROM removals r JOIN announced w ON w.kind = r.kind "
        "AND w.scaikey_id = r.scaikey_id WHERE r.state = 'announced' ORDER BY w.position"
    )
    applied: Counter[str] = Counter()
    exceeded: set[str] = set()
    for row_id, tenant_id in rows:
        tenant = str(tenant_id)
        for key, number in ((tenant, applied[tenant]), ("", applied.total())):
            if key not in exceeded and _is_exceeded(limit, ANNOUNCED, key, number + 1):
                exceeded.add(key)
        if exceeded.isdisjoint((tenant, "")):
            applied[tenant] += 1
        else:
            where = "row_id = %s AND kind = 'participants'"
            _set_aside(Limit.WEBHOOKS, where, [uuid_param(to_uuid(row_id))])
    return [CountedLosses(ANNOUNCED, *each) for each in sorted(applied.items())]


def _judge_suspensions(limit: RemovalLimit) -> list[CountedLosses]:
    """Judge the tenants and partners that ScaiKey reports as suspended, all of them or none."""
    stage_losses("r.state = 'suspension'")
    tenants = [str(row[0]) for row in fetch(f"{LOST_TENANTS} AND {_IS_SUSPENDED}")]
    if not tenants:
        return []
    people = {
        str(tenant): int(number)
        for tenant, number in fetch(
            "SELECT tenant_id, count(*) FROM losses WHERE kind = 'people' GROUP BY tenant_id"
        )
    }
    spent = limit.count_spent(SUSPENDED_TENANTS), limit.count_spent(SUSPENDED_PEOPLE)
    number, persons = len(tenants) + spent[0], sum(people.values()) + spent[1]
    share = limit.suspension_share
    is_large = (
        number > (_count("tenants", "") + spent[0]) * share
        or persons > (_count("people", "") + spent[1]) * share
    )
    if number > limit.suspensions and is_large:
        _set_aside(Limit.SUSPENSIONS, "state = 'suspension'")
        return []
    return [
        CountedLosses(measure, tenant, number)
        for tenant in sorted(tenants)
        for measure, number in ((SUSPENDED_TENANTS, 1), (SUSPENDED_PEOPLE, people.get(tenant, 0)))
        if number
    ]


_IS_SUSPENDED = """
    EXISTS (SELECT 1 FROM removals r JOIN sw_tenants t ON t.id = tenant_access.tenant_id
            WHERE r.state = 'suspension' AND (r.kind = 'tenants' AND r.row_id = t.id
                                             OR r.kind = 'partners' AND r.row_id = t.partner_id))
"""


def _judge_lost_tenants(limit: RemovalLimit) -> None:
    """Set aside the tenants, and partners of tenants, that take too many people with them."""
    rows = fetch(
        "SELECT tenant_id, count(*) FROM losses WHERE kind = 'people' "
        f"AND tenant_id IN ({LOST_TENANTS}) GROUP BY tenant_id"
    )
    people = ((str(tenant_id), int(number)) for tenant_id, number in rows)
    exceeding = [key for key, number in people if _is_exceeded(limit, "people", key, number)]
    if exceeding:
        _set_aside_in_tenants(
            exceeding,
            f"(kind = 'tenants' AND row_id IN ({SKIPPED_TENANTS}) OR kind = 'partners' AND row_id "
            f"IN (SELECT t.partner_id FROM sw_tenants t WHERE t.id IN ({SKIPPED_TENANTS})))",
        )


def _judge_tenants(limit: RemovalLimit, measures: Collection[str]) -> None:
    """Set aside every removal of these measures in the tenants where they exceed the limit."""
    for measure, tenants in _find_exceeding_tenants(limit).items():
        if measure in measures:
            where = f"tenant_id IN ({SKIPPED_TENANTS}) AND kind IN {sql_list(_CAUSES[measure])}"
            _set_aside_in_tenants(tenants, where)


def _judge_server(limit: RemovalLimit, measures: Collection[str]) -> None:
    """Set aside every removal of these measures if they exceed the limit of the whole server."""
    for measure in _find_exceeded(limit):
        if measure in measures:
            partners = ("partners",) if measure in ("people", AFFECTED) else ()
            kinds = sql_list((*_CAUSES[measure], *partners))
            _set_aside(Limit.SERVER, f"{_IS_DUE} AND kind IN {kinds}")


def _find_exceeding_tenants(limit: RemovalLimit) -> dict[str, list[str]]:
    """Return the tenants whose staged losses exceed their limit, by measure."""
    exceeding: defaultdict[str, list[str]] = defaultdict(list)
    for (measure, tenant_id), number in count_losses_by_tenant().items():
        if tenant_id and _is_exceeded(limit, measure, tenant_id, number):
            exceeding[measure].append(tenant_id)
    return exceeding


def _find_exceeded(limit: RemovalLimit) -> list[str]:
    """Return the measures whose staged losses exceed the limit of the server."""
    counts = {**count_losses(), AFFECTED: count_affected()}
    return [key for key, number in counts.items() if _is_exceeded(limit, key, "", number)]


def _is_exceeded(limit: RemovalLimit, measure: str, tenant_id: str, number: int) -> bool:
    """Whether losses exceed the limit of a tenant, or of the server if its ID is empty.

    The rows of this run are still present; the ones of earlier runs count as if they were.
    """
    spent = limit.count_spent(measure, tenant_id or None) if number else 0
    is_rare = measure in ("groups", "tenants", "partners")
    if number + spent <= limit.limit or (tenant_id and is_rare and measure != "groups"):
        return False
    present = _count(measure, tenant_id) + spent
    return not (is_rare and present < FEW_ROWS) and limit.is_exceeded(number + spent, present)


def refuse_over_limit(verdict: Verdict, rules: Rules) -> None:
    """Refuse a plan for review with more losses than a sync would apply by itself.

    Such a plan has every loss, looked up one by one, and nothing is set aside in it: the refusal
    reports that a sync would have let some of them wait. Raises `SyncCollectionEmpty` or
    `RemovalLimitExceeded`.
    """
    limit, total = rules.limit, sum(verdict.losses.values())
    if limit.allows(total):
        return
    _ensure_lists_not_empty(verdict.plan, verdict.losses, rules)
    stage_losses(APPLIED)
    if exceeded := _find_exceeded(limit):
        measure = exceeded[0]
        number = count_affected() if measure == AFFECTED else verdict.losses[measure]
        text = (
            f"exceeds the removal limit: {number:,} of {_count(measure, ''):,} {_LABELS[measure]} "
            f"(more than {limit.limit:,} and more than {limit.share:.0%})"
        )
    else:
        exceeding = _find_exceeding_tenants(limit)
        if not exceeding:
            return
        tenants = Tenant.objects.filter(pk__in=chain(*exceeding.values())).order_by("slug")
        slugs = ", ".join(tenants.values_list("slug", flat=True))
        text = f"has losses of access over the removal limit of a tenant: {slugs}"
    fix, command = _advise("If this is correct, ", rules)
    raise RemovalLimitExceeded(
        f"This plan {text}. No changes were made.",
        fix=fix,
        command=command,
    )


def _ensure_lists_not_empty(plan: Plan, losses: dict[str, int], rules: Rules) -> None:
    fetched = plan.confirmed.fetched
    for kind, number in fetched.present.items():
        counts = plan.kinds[kind]
        # Without any record in the list a postponed removal has nothing to be compared with.
        removals = counts.deactivated + (counts.skipped if kind != "memberships" else 0)
        if fetched.scope.announced_only or plan.staged[kind] or not removals or not number:
            continue
        # Unreadable parts keep their access, and all others may have no records of this kind.
        if kind != "memberships" and any(part[0] == kind for part in fetched.unreadable):
            continue
        approved = "SELECT count(*) FROM removals WHERE kind = %s AND state = 'approved'"
        if fetch_number(approved, [kind]) >= removals:
            continue
        name = {"participants": "users", "memberships": "group members"}.get(kind, kind)
        fix, command = _advise(
            "Check the scopes of this server's application in ScaiKey. If ScaiKey really "
            "has none, ",
            rules,
        )
        raise SyncCollectionEmpty(
            f"ScaiKey returned no {name}, but this server has {number:,}. No changes were made.",
            losses=losses,
            fix=fix,
            command=command,
        )


def _advise(condition: str, rules: Rules) -> tuple[str, str]:
    """Return the fix of a `SyncStopped` that begins with a condition, and its command."""
    if command := rules.apply:
        text = f"review the plan, then apply exactly its losses of access: `{command}`."
    else:
        command = f"{rules.sync} --plan plan.json"
        text = f"write a plan and review its losses of access: `{command}`."
    return condition + text, command


def _count(measure: str, tenant_id: str) -> int:
    """Count the rows that losses are a share of: of one tenant, or of the server if it is empty."""
    is_of_people = measure in ("people", AFFECTED, ANNOUNCED)
    return count_rows("participants" if is_of_people else measure, tenant_id)


def set_aside_super_admins(holders: Iterable[UUID]) -> int:
    """Set aside every removal that may take the role super_admin from one of its holders."""
    keys = [uuid_param(key) for key in holders]
    people = f"({', '.join(['%s'] * len(keys))})"
    tenants = f"(SELECT p.tenant_id FROM sw_participants p WHERE p.id IN {people})"
    return execute(
        f"""
        UPDATE removals SET state = 'pending', limit_code = %s
        WHERE state NOT IN ('pending', 'kept', 'off', 'covered') AND (
            subject_id IN {people}
            OR kind = 'memberships' AND row_id IN (
                SELECT e.id FROM sw_group_memberships e WHERE e.member_participant_id IN {people}
                OR e.member_group_id IS NOT NULL AND e.tenant_id IN {tenants})
            OR kind = 'groups' AND tenant_id IN {tenants}
            OR kind = 'tenants' AND row_id IN {tenants}
            OR kind = 'partners' AND row_id IN (
                SELECT t.partner_id FROM sw_tenants t WHERE t.id IN {tenants}))
        """,
        [Limit.SUPER_ADMIN, *keys * 6],
    )
