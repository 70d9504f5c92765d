"""Set and clear policies, and find the one that counts for a room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet

from rooms.lookup.resolve import resolve_room
from rooms.models import RetentionPolicy, Room
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.validators import validate_reason
from tenants.lookup.visibility import visible_tenants
from tenants.models import Tenant

SERVER = "server"
MAX_DAYS = 100 * 365
MAX_AGE = timedelta(days=2)
"""How long ago the last run of a policy may be: it runs every night."""
SET = ChangeWords(
    "retention",
    "Would set the retention of {subject}: {rule}.",
    "Retention of {subject} set: {rule}.",
    "The retention of {subject} is already: {rule}; nothing changed.",
)
CLEARED = ChangeWords(
    "retention",
    "Would clear the retention of {subject}.",
    "Retention of {subject} cleared.",
    "There is no retention policy of {subject} itself; nothing changed.",
)


@dataclass(frozen=True)
class PolicyPlace:
    """This server, a tenant or a room, which a policy is about."""

    tenant: Tenant | None = None
    room: Room | None = None

    @property
    def scope(self) -> str:
        if self.room:
            return f"room={self.room.pk}"
        return f"tenant={self.tenant.pk}" if self.tenant else SERVER

    def __str__(self) -> str:
        if self.room:
            return f"room {self.room}"
        return f"tenant {self.tenant.slug}" if self.tenant else "this server"


@dataclass(frozen=True)
class PolicyValues:
    """Without days it keeps everything, whatever a wider policy says."""

    days: int | None = None
    media_days: int | None = None
    content_only: bool = False


def resolve_place(operator: Operator, tenant: str | None, room: str | None) -> PolicyPlace:
    """Raises TenantNotFound, RoomNotFound, AmbiguousName and UsageError."""
    if tenant is None:
        if room is not None:
            raise UsageError("--room needs --tenant.", fix="Pass the tenant of the room.")
        return PolicyPlace()
    found = resolve_tenant(operator, tenant)
    return PolicyPlace(found, None if room is None else resolve_room(operator, room, tenant=found))


def set_retention(
    *,
    operator: Operator,
    values: PolicyValues,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    tenant: str | None = None,
    room: str | None = None,
    dry_run: bool = False,
) -> Change:
    """Set the policy of a room, of a tenant, or of this server, which needs MANAGE_PLATFORM.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises TenantNotFound,
    RoomNotFound, AmbiguousName, InvalidName and UsageError.
    """
    place = _start(operator, tenant, room, reason)
    if not all(
        1 <= days <= MAX_DAYS for days in (values.days, values.media_days) if days is not None
    ):
        raise UsageError(f"Days are from 1 to {MAX_DAYS:,}.", fix="Pass another number of days.")
    if values.content_only and values.days is None:
        raise UsageError(
            "Deleting the content of messages needs days of messages.",
            fix="Pass the days too, or leave out that only content is deleted.",
        )
    policy = RetentionPolicy.objects.filter(scope=place.scope).first()
    subject = {"tenant": place.tenant, "room": place.room}
    columns = {**asdict(values), **subject, "updated_at": now, "last_run_at": None}
    wanted = RetentionPolicy(scope=place.scope, **columns)
    before = None if policy is None else _get_values(policy)
    if before == asdict(values) or dry_run:
        return _build_change(SET, place, wanted, dry_run=dry_run and before != asdict(values))
    _ask(confirm, place, find_policy(place), wanted)
    with transaction.atomic():
        RetentionPolicy.objects.update_or_create(scope=place.scope, defaults=columns)
        details = {"before": before, "after": asdict(values), "reason": reason}
        _record(operator, place, "retention set", now, details)
    return _build_change(SET, place, wanted, changed=True)


def clear_retention(
    *,
    operator: Operator,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    tenant: str | None = None,
    room: str | None = None,
    dry_run: bool = False,
) -> Change:
    """Clear the policy of exactly this; then the next wider one counts.

    `confirm` gets the question if anything else is kept or deleted then. Raises the same errors.
    """
    place = _start(operator, tenant, room, reason)
    policy = RetentionPolicy.objects.filter(scope=place.scope).first()
    if policy is None or dry_run:
        return _build_change(CLEARED, place, policy, dry_run=dry_run and policy is not None)
    wider = find_policy(PolicyPlace(place.tenant if place.room else None)) if place.tenant else None
    if str(wider) != str(policy):
        _ask(confirm, place, policy, wider)
    with transaction.atomic():
        policy.delete()
        details = {"before": _get_values(policy), "reason": reason}
        _record(operator, place, "retention clear", now, details)
    return _build_change(CLEARED, place, policy, changed=True)


def show_retention(
    *, operator: Operator, tenant: str | None = None, room: str | None = None
) -> list[Row]:
    """Return the policies that the operator may see, the server's first; or for a tenant or a room
    the one that counts for it."""
    operator.require(Permission.VIEW)
    if tenant is not None:
        place = resolve_place(operator, tenant, room)
        found = find_policy(place)
        return [build_policy_row(found)] if found else []
    policies = RetentionPolicy.objects.filter(room__deleted_at=None)  # also those without a room
    policies = policies.select_related("tenant", "room").order_by("-scope")
    if not operator.sees_everything:
        policies = policies.filter(tenant__in=visible_tenants(operator))
    return [build_policy_row(policy) for policy in policies]


def find_policy(place: PolicyPlace) -> RetentionPolicy | None:
    """Return the nearest policy."""
    places = [place, PolicyPlace(place.tenant), PolicyPlace()]
    policies = RetentionPolicy.objects.select_related("tenant", "room")
    found = {each.scope: each for each in policies.filter(scope__in=[p.scope for p in places])}
    return next((found[each.scope] for each in places if each.scope in found), None)


def find_overdue_policies(now: datetime) -> QuerySet[RetentionPolicy]:
    """Return policies that no run has reached for days, since the last change if it is later."""
    overdue = RetentionPolicy.objects.filter(updated_at__lt=now - MAX_AGE)
    return overdue.exclude(days=None, media_days=None).exclude(last_run_at__gte=now - MAX_AGE)


def find_last_run() -> datetime | None:
    last: datetime | None = RetentionPolicy.objects.aggregate(last=Max("last_run_at"))["last"]
    return last


def build_policy_row(policy: RetentionPolicy) -> Row:
    return {
        "scope": policy.kind,
        "tenant": policy.tenant.slug if policy.tenant else None,
        "room": {"id": policy.room.pk, "name": policy.room.name} if policy.room else None,
        **_get_values(policy),
        "rule": str(policy),
        "updated_at": policy.updated_at,
        "last_run_at": policy.last_run_at,
    }


def _start(operator: Operator, tenant: str | None, room: str | None, reason: str) -> PolicyPlace:
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    place = resolve_place(operator, tenant, room)
    if place.tenant is None:
        operator.require(Permission.MANAGE_PLATFORM)
    return place


def _ask(
    confirm: Callable[[str], None],
    place: PolicyPlace,
    present: RetentionPolicy | None,
    wanted: RetentionPolicy | None,
) -> None:
    """Ask if what the present policy deletes is kept then, or if the wanted one deletes any."""
    before, after = _list_deleted(present), _list_deleted(wanted)
    effects = []
    if ended := [kind for kind in before if kind not in after]:
        what = " and ".join(ended).capitalize()
        effects.append(
            f"{what} of {place} will be kept indefinitely. The policy of the "
            f"{present and present.kind} is now: {present}."
        )
    if after:
        effects.append(
            f"From the next run on, {place} will {wanted}. Holds excepted, this can't be undone."
        )
    if effects:
        confirm(" ".join(effects))


def _list_deleted(policy: RetentionPolicy | None) -> list[str]:
    if policy is None:
        return []
    days = {"messages": policy.days, "files": policy.get_media_days()}
    return [kind for kind, number in days.items() if number is not None]


def _get_values(policy: RetentionPolicy) -> dict[str, Any]:
    return {each.name: getattr(policy, each.name) for each in fields(PolicyValues)}


def _build_change(
    words: ChangeWords,
    place: PolicyPlace,
    policy: RetentionPolicy | None,
    *,
    changed: bool = False,
    dry_run: bool = False,
) -> Change:
    row = build_policy_row(policy) if policy else None
    names = {"subject": place, "rule": policy}
    return Change(words, row or {}, changed, dry_run, names=names)


def _record(
    operator: Operator, place: PolicyPlace, action: str, now: datetime, details: dict[str, Any]
) -> None:
    record_audit(
        operator=operator,
        action=action,
        subject=place.room or place.tenant or AuditSubject("retentionpolicy", SERVER, SERVER),
        tenant=place.tenant,
        now=now,
        details=details,
    )
