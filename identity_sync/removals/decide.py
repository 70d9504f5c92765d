"""Decide on pending removals: approve them, or keep the access.

A decision is about the rows that are named, and no others: their IDs are read once, and checked
again when the decision is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from shlex import quote
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from identity_sync.encoding import name_removal
from identity_sync.errors import RemovalNotFound, RemovalsChanged, RemovalsDecided
from identity_sync.models import Limit, PendingRemoval, RemovalState
from identity_sync.reasons import Reason
from identity_sync.removals.queries import (
    SHORT_ID_CHARS,
    build_row,
    digest_pending,
    find_people,
    format_last_day,
    is_pending_q,
    visible_removals,
)
from identity_sync.sync.fetch.scope import require_whole_scope
from scaiwave.console.text import join_examples, pluralize, shorten
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.errors import InsufficientPermission, UsageError
from scaiwave.core.operators import Operator, OperatorRole, Permission
from scaiwave.core.sql import batched
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.validators import validate_reason
from tenants.models import GroupMembership
from tenants.roles.queries.super_admins import find_super_admin_holders

APPROVAL = timedelta(hours=24)
"""How long an approval waits for a sync that applies it."""
DEFAULT_KEEP = timedelta(days=30)
MAX_KEEP = timedelta(days=90)
MAX_NAMED = 10
MAX_NAME_CHARS = 1000
IDS_PER_ENTRY = 1000
"""Of one entry in the audit log; a larger decision has several."""


@dataclass(frozen=True)
class Selection:
    """The rows that a decision is about: their IDs, or all that wait in one tenant.

    With a tenant, `expect` is the digest of those rows that `sync removals` printed. Rows of a file
    that are decided otherwise, or no longer wait, are skipped.
    """

    ids: Sequence[str] = ()
    tenant: str | None = None
    expect: str = ""
    is_file: bool = False


_WORDS = {
    RemovalState.APPROVED: ChangeWords(
        "removals",
        "Would approve {removals}: {names}.{rest}{skipped}",
        "{removals} approved: {names}. The next sync {then} still true.{rest}{skipped}",
        "{removals} already approved; nothing changed.{skipped}",
    ),
    RemovalState.KEPT: ChangeWords(
        "removals",
        "Would keep access for {removals}: {names}.{rest}{skipped}",
        "Access kept for {removals} until {day}: {names}.{rest}{skipped}",
        "{removals} already kept; nothing changed.{skipped}",
    ),
}


def approve_removals(
    *,
    operator: Operator,
    selection: Selection,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    override: bool = False,
    dry_run: bool = False,
) -> Change:
    """Permit exactly these removals, for 24 hours: the next sync applies those still true, once.

    It takes the permission for a sync of that reach, and never the token of a service account: a
    person decides. `confirm` gets the question to ask, and raises if the answer is not yes. Another
    operator's keep, and each in a file, ends only with `override`. Raises `RemovalNotFound`,
    `RemovalsChanged`, `RemovalsDecided`, `TenantNotFound` and `InsufficientPermission`.
    """
    operator.require(Permission.SYNC_TENANTS)
    if operator.role is OperatorRole.SERVICE or operator.is_own_application:
        raise InsufficientPermission(
            f"{operator.name} is a service account, and can't approve removals.",
            fix="Approve them with the token of a person, or on the host.",
        )
    validate_reason(reason)
    rows, ended = _select(operator, selection, now)
    if any(row.tenant_id is None for row in rows):
        require_whole_scope(operator, settings.CONFIG)
    values = {"state": RemovalState.APPROVED, "expires_at": now + APPROVAL}
    values |= {"decided_at": now, "decision_reason": reason}
    shared = {"is_file": selection.is_file, "override": override, "dry_run": dry_run}
    return _decide(operator, rows, values, confirm, ended=ended, **shared)


def keep_removals(
    *,
    operator: Operator,
    selection: Selection,
    reason: str,
    until: datetime | None,
    confirm: Callable[[str], None],
    now: datetime,
    override: bool = False,
    dry_run: bool = False,
) -> Change:
    """Refuse these removals until a date: access stays, and the rows are out of the alarms.

    At the end they wait again, and are never applied by themselves. It takes the permission to
    suspend tenants, or for a super_admin to manage the platform. Operators can't keep a row about
    themselves or their own tenant or partner. Another operator's approval ends only with
    `override`. Raises what `approve_removals` raises, and `UsageError`.
    """
    operator.require(Permission.MANAGE_TENANTS)
    if not reason.strip():
        raise UsageError("A reason is required.", fix="Pass --reason.")
    validate_reason(reason)
    end = now + DEFAULT_KEEP if until is None else until
    if not now < end <= now + MAX_KEEP + timedelta(days=1):
        raise UsageError(
            f"--until must be a date within the next {MAX_KEEP.days} days.",
            fix="Pass a nearer date, and keep the access again at its end.",
        )
    rows, ended = _select(operator, selection, now)
    _ensure_may_keep(operator, rows)
    values = {"state": RemovalState.KEPT, "expires_at": end}
    values |= {"decided_at": now, "decision_reason": reason}
    shared = {"is_file": selection.is_file, "override": override, "dry_run": dry_run}
    return _decide(operator, rows, values, confirm, ended=ended, **shared)


def _select(
    operator: Operator, selection: Selection, now: datetime
) -> tuple[list[PendingRemoval], int]:
    """Return the open rows that are named, each once, in the order of their tenants.

    With them is the number of rows of a file that no longer wait. Raises `RemovalNotFound` if
    anything else is not open or not visible, or named ambiguously.
    """
    ended: list[UUID] = []
    visible = visible_removals(operator).select_related("tenant")
    if selection.tenant is not None:
        if not selection.expect:
            raise UsageError(
                "--tenant needs --expect.",
                fix="The digest is in the output of `scaiwave sync removals --tenant "
                f"{quote(selection.tenant)}`.",
            )
        tenant = resolve_tenant(operator, selection.tenant)
        rows = list(visible.filter(is_pending_q(now), tenant=tenant))
        found = digest_pending(row.pk for row in rows)
        if not rows:
            raise RemovalNotFound(f"No removal waits in {selection.tenant}.")
        if selection.expect.lower() != found:
            raise RemovalsChanged(
                f"The digest of the removals of {selection.tenant} is not {selection.expect}: "
                f"pending now: {len(rows):,}, with the digest {found}."
            )
    else:
        ids, missing = _resolve_ids(visible, selection.ids)
        if missing and selection.is_file:
            ended, missing = _resolve_ids(visible_removals(operator, is_open=False), missing)
        if missing:
            examples = join_examples([shorten(text) for text in missing[:MAX_NAMED]], len(missing))
            raise RemovalNotFound(f"Pending removal not found: {examples}. No changes were made.")
        rows = [row for batch in batched(ids) for row in visible.filter(pk__in=batch)]
    rows.sort(key=lambda row: (row.tenant.slug if row.tenant else "", row.subject_name))
    return rows, len(ended)


def _resolve_ids(
    visible: QuerySet[PendingRemoval], texts: Iterable[str]
) -> tuple[list[UUID], list[str]]:
    """Return the IDs of rows, each named whole or by its last characters, once, and other texts."""
    known: defaultdict[str, list[UUID]] = defaultdict(list)
    for key in visible.values_list("pk", flat=True):
        known[key.hex].append(key)
        known[key.hex[-SHORT_ID_CHARS:]].append(key)
    found: dict[UUID, None] = {}
    missing = []
    for text in texts:
        keys = known.get(text.strip().replace("-", "").lower(), [])
        if len(keys) == 1:
            found[keys[0]] = None
        else:
            missing.append(text.strip())
    return list(found), missing


def _ensure_may_keep(operator: Operator, rows: Sequence[PendingRemoval]) -> None:
    own = [row for row in rows if _is_own(operator, row)]
    if own:
        raise InsufficientPermission(
            f"{operator.name} may not keep a removal about themselves, or about their own tenant "
            "or partner.",
            fix="Ask another operator. No changes were made.",
        )
    if operator.has_permission(Permission.MANAGE_PLATFORM):
        return
    admins = find_super_admin_holders()
    people = find_people(rows)
    for row in rows:
        person = people.get(row.subject_id)
        if row.tenant_id is None or (person is not None and person.pk in admins):
            operator.require(Permission.MANAGE_PLATFORM)


def _is_own(operator: Operator, row: PendingRemoval) -> bool:
    key = row.subject_scaikey_id
    match row.kind:
        case "tenants":
            # One that has left their partner is about that partner too.
            has_left = row.cause == Reason.MOVED and operator.partner_id is not None
            return has_left or key == operator.tenant_id
        case "partners":
            return key == operator.partner_id
        case "groups":
            members = GroupMembership.objects.filter(group=row.subject_id, absent_since=None)
            own = members.filter(member_participant__scaikey_id=operator.subject)
            return bool(operator.subject) and own.exists()
        case _:
            return bool(operator.subject) and row.person_scaikey_id == operator.subject


def _decide(
    operator: Operator,
    rows: Sequence[PendingRemoval],
    values: dict[str, Any],
    confirm: Callable[[str], None],
    *,
    ended: int,
    is_file: bool,
    override: bool,
    dry_run: bool,
) -> Change:
    """Write one decision about rows that were checked: their new state, its end and its reason."""
    state, end, now = values["state"], values["expires_at"], values["decided_at"]
    # A keep is also renewed for another date.
    is_kept = state is RemovalState.KEPT
    changed = [
        row
        for row in rows
        if row.get_state(now) is not state or (is_kept and row.expires_at != end)
    ]
    values["decided_by"] = operator.name[:MAX_NAME_CHARS]
    decided = [row for row in changed if row.get_state(now) not in (RemovalState.PENDING, state)]
    others = [row for row in decided if is_file or row.decided_by != values["decided_by"]]
    skipped, dropped = "", set[PendingRemoval]()
    if others and not override:
        text = _describe_decisions(others)
        if not is_file:
            raise RemovalsDecided(f"Another decision applies: {text}. No changes were made.")
        skipped, dropped, decided = f" {len(others):,} skipped: {text}.", set(others), []
        rows, changed = ([row for row in each if row not in dropped] for each in (rows, changed))
    if ended:
        skipped += f" {ended:,} no longer {'waits' if ended == 1 else 'wait'}."
    number, names = pluralize(len(changed or rows), "removal"), _name_subjects(changed)
    if changed and not dry_run:
        confirm(_describe_effect(number, names, end if is_kept else None, decided))
        with transaction.atomic():
            for _, of_tenant in groupby(changed, key=lambda row: row.tenant_id):
                for batch in batched(of_tenant, IDS_PER_ENTRY):
                    _write(operator, batch, values)
    limit = ""
    if not is_kept and any(row.limit_code == Limit.SUPER_ADMIN for row in changed):
        limit = " No one with super_admin may remain: the sync needs `--allow-no-super-admin`."
    people, rest = find_people(rows), len(rows) - len(changed)
    return Change(
        _WORDS[state],
        [build_row(row, people.get(row.subject_id), now) for row in rows],
        bool(changed) and not dry_run,
        bool(changed) and dry_run,
        names={
            "removals": number,
            "names": names,
            "day": format_last_day(end),
            "rest": (f" {rest:,} already {state.value}." if rest else "") + limit,
            "then": "looks it up again, and applies it if it is"
            if len(changed) == 1
            else "looks them up again, and applies them if they are",
            "skipped": skipped,
        },
        rest={"expires_at": end, "skipped": len(dropped) + ended},
    )


def _describe_effect(
    number: str, names: str, kept_until: datetime | None, decided: Sequence[PendingRemoval]
) -> str:
    """Return the question's text; `decided` are rows whose decision another one replaces."""
    effect = f"The next sync will apply {number}: {names}."
    if kept_until:
        effect = f"This keeps the access of {number} until {format_last_day(kept_until)}: {names}."
    if decided:
        effect += f" This overrides a decision: {_describe_decisions(decided)}."
    return effect


def _describe_decisions(rows: Sequence[PendingRemoval]) -> str:
    texts = (f"{row.state} by {row.decided_by} on {row.decided_at:%Y-%m-%d %H:%M}" for row in rows)
    found = list(dict.fromkeys(texts))
    return f"{join_examples(found[:MAX_NAMED], len(found))} UTC"


def _write(operator: Operator, rows: Sequence[PendingRemoval], values: Mapping[str, Any]) -> None:
    """Write the decision about rows of one tenant, with one entry in the audit log."""
    keys, tenant = [row.pk for row in rows], rows[0].tenant
    # A sync may have applied one since it was read, or someone else decided on it.
    locked = PendingRemoval.objects.select_for_update().filter(pk__in=keys)
    state = attrgetter("pk", "state", "decided_at", "expires_at")
    if set(map(state, locked)) != set(map(state, rows)):
        raise RemovalsChanged("Some of these removals were applied or decided just now.")
    PendingRemoval.objects.filter(pk__in=keys).update(**values)
    is_approved = values["state"] is RemovalState.APPROVED
    details = {
        "removals": list(map(str, keys)),
        "expires_at": values["expires_at"].isoformat(),
        "reason": values["decision_reason"],
    }
    subject = AuditSubject("pending removals", str(keys[0]), tenant.slug if tenant else "partners")
    action = "sync approve" if is_approved else "sync keep"
    record_audit(operator, action, subject, values["decided_at"], details, tenant=tenant)
    for row in rows:
        for name, value in values.items():
            setattr(row, name, value)


def _name_subjects(rows: Sequence[PendingRemoval]) -> str:
    more = f", and {len(rows) - MAX_NAMED:,} more" if len(rows) > MAX_NAMED else ""
    return ", ".join(map(name_removal, rows[:MAX_NAMED])) + more
