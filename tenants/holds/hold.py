"""Place holds, and lift them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.errors import UsageError
from scaiwave.core.locks import lock_in_transaction
from scaiwave.core.operators import Operator, Permission
from scaiwave.extensions import ROOM_FINDER
from tenants.audit.record import AuditSubject, record_audit
from tenants.errors import HoldNotFound
from tenants.holds.queries import LOCK, build_rows, describe_hold, holds_in_force
from tenants.lookup.resolve import look_up_participants_in, parse_uuid, resolve_tenant
from tenants.lookup.validators import validate_required_reason
from tenants.models import Hold

PLACED = ChangeWords(
    "hold",
    "Would place a hold on {subject}.",
    "Hold {id} placed on {subject}.",
    "Hold {id} is already on {subject}; nothing changed.",
)
LIFTED = ChangeWords(
    "hold",
    "Would lift hold {id} on {subject}.{remains}",
    "Hold {id} on {subject} lifted.{remains}",
    "Hold {id} on {subject} is already lifted; nothing changed.",
)


def add_hold(
    *,
    operator: Operator,
    reason: str,
    now: datetime,
    tenant: str | None = None,
    participant: str | None = None,
    room: str | None = None,
    dry_run: bool = False,
) -> Change:
    """Place a hold on a tenant, or on one of its participants or rooms.

    It waits for deletions in progress, which end within seconds. A subject may have
    several holds, each with its own reason. Raises TenantNotFound, ParticipantNotFound,
    RoomNotFound, AmbiguousName, InvalidName and UsageError.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_required_reason(reason)
    if participant is not None and room is not None:
        raise UsageError(
            "A hold is on a participant or on a room, not on both.", fix="Place two holds."
        )
    hold = Hold(reason=reason, placed_by=operator.name, placed_at=now)
    if participant is not None:
        hold.participant = look_up_participants_in(operator, tenant).find(participant)
        hold.tenant = hold.participant.tenant
    elif tenant is not None:
        hold.tenant = resolve_tenant(operator, tenant)
        if room is not None:
            hold.room_id = ROOM_FINDER.load()(operator, room, hold.tenant)
    else:
        raise UsageError(
            "Name what to hold.", fix="Pass --tenant, --participant, or --room with --tenant."
        )
    with transaction.atomic():
        if not dry_run:
            lock_in_transaction(LOCK)
        if same := _find_others(hold).filter(reason=reason).first():
            return _build_change(PLACED, same)
        if not dry_run:
            hold.save(force_insert=True)
            _record(operator, hold, "hold add", now, reason)
    return _build_change(PLACED, hold, changed=not dry_run, dry_run=dry_run)


def lift_hold(
    *,
    operator: Operator,
    hold: str,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Lift a hold; its row stays. `confirm` gets the question, and raises unless it is agreed to.

    Raises HoldNotFound and InvalidName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_required_reason(reason)
    holds = Hold.objects.select_related("tenant", "participant")
    found = holds.filter(pk=key).first() if (key := parse_uuid(hold)) else None
    if found is None:
        raise HoldNotFound(f"Hold not found: {hold}.")
    if found.lifted_at is not None or dry_run:
        return _build_change(LIFTED, found, dry_run=dry_run and found.lifted_at is None)
    subject = describe_hold(found)
    confirm(f"This allows deletions and erasures in {subject}, unless another hold covers it.")
    with transaction.atomic():
        values = {"lift_reason": reason, "lifted_by": operator.name, "lifted_at": now}
        changed = Hold.objects.filter(pk=found.pk, lifted_at=None).update(**values)
        if changed:
            _record(operator, found, "hold lift", now, reason)
    found.refresh_from_db()
    return _build_change(LIFTED, found, changed=bool(changed))


def _build_change(
    words: ChangeWords, hold: Hold, *, changed: bool = False, dry_run: bool = False
) -> Change:
    (row,) = build_rows([hold])
    remains = " Another hold on it remains." if _find_others(hold).exists() else ""
    names = {"subject": describe_hold(hold), "remains": remains}
    return Change(words, row, changed, dry_run, names=names)


def _find_others(hold: Hold) -> QuerySet[Hold]:
    """Return the other holds in force on the same subject."""
    same = {"tenant": hold.tenant, "participant": hold.participant, "room_id": hold.room_id}
    return holds_in_force().filter(**same).exclude(pk=hold.pk)


def _record(operator: Operator, hold: Hold, action: str, now: datetime, reason: str) -> None:
    """The subject is the object on hold, whose page shows the entry."""
    (row,) = build_rows([hold])
    room = AuditSubject("room", str(hold.room_id), row["room"] or "")
    record_audit(
        operator=operator,
        action=action,
        subject=room if hold.room_id else hold.participant or hold.tenant,
        tenant=hold.tenant,
        now=now,
        details={"hold": str(hold.pk), "reason": reason},
    )
