"""Erase the personal data of people who were removed from ScaiKey.

Their rows stay, with an ID and a neutral name, because messages refer to them. Each app erases what
it has stored, through `scaiwave.extensions`. The audit log has nothing but IDs of participants.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower

from scaiwave import extensions
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.extensions import PurgedPerson
from tenants.audit.record import record_audit
from tenants.errors import PurgeLimitExceeded, PurgeRefused
from tenants.holds.queries import block_new_holds, held_people_q, require_person_not_held
from tenants.lookup.resolve import look_up_participants_in, resolve_tenant
from tenants.lookup.serializers import Row, get_server_name, participant_row
from tenants.lookup.validators import validate_reason
from tenants.lookup.visibility import visible_participants
from tenants.models import Hold, Participant, ParticipantType, RoleGrant
from tenants.models.directory import DELETED_NAME
from tenants.roles.rules import describe

ACTION = "purge-participant"
BATCH_SIZE = 100
"""People per transaction."""
MAX_DAYS = 100 * 365
"""Before that no one was removed, and a longer time might not be a date."""
MAX_LISTED = 1000
"""People that a result lists, which bounds its memory."""

PURGE = ChangeWords(
    "participant",
    "Would purge participant {fqid}.",
    "Participant {fqid} purged.",
    "Participant {fqid} is already purged; nothing changed.",
)


def purge_participant(
    *,
    operator: Operator,
    name: str,
    reason: str,
    confirm: Callable[[str], None],
    now: datetime,
    tenant: str | None = None,
    with_messages: bool = False,
    dry_run: bool = False,
) -> Change:
    """Erase the personal data of one person who was removed from ScaiKey.

    `with_messages` also erases what they wrote, before that, so that an interrupted call can be
    repeated; also of someone who is purged already. The reason goes into the audit log and may be
    empty. `confirm` gets the question to ask, and raises if the answer is not yes. `tenant`
    restricts the search for the name. Raises PurgeRefused, OnHold, ParticipantNotFound,
    TenantNotFound, AmbiguousName and InvalidName.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    person = look_up_participants_in(operator, tenant).find(name)
    is_purged = person.purged_at is not None
    if is_purged and not with_messages:
        return Change(PURGE, _row(person))
    _ensure_purgeable(person)
    erase = partial(extensions.MESSAGE_ERASER.load(), operator, person, reason, now)
    counts = erase(dry_run=True) if with_messages else {}
    rest = {"erased": counts} if with_messages else {}
    is_change = not is_purged or person.messages_erased_at is None or any(counts.values())
    if dry_run or not is_change:
        return Change(PURGE, _row(person), dry_run=dry_run and is_change, rest=rest)
    messages = f'messages stay, by "{DELETED_NAME}"'
    if with_messages:
        parts = ", ".join(f"{number:,} {title}" for title, number in counts.items())
        messages = f"and what they wrote: {parts}"
    confirm(
        f"This erases the name, e-mail address and avatar of {describe(person)}; {messages}. This "
        "can't be undone."
    )
    if with_messages:
        rest = {"erased": erase(dry_run=False)}
    if is_purged:
        return Change(PURGE, _row(person), changed=True, rest=rest)
    purged = _purge_batch(operator, [person.pk], now, {"reason": reason}, skip_locked=False)
    person = Participant.objects.select_related("tenant").get(pk=person.pk)
    if not purged:
        _ensure_purgeable(person)  # It may have returned while the operator was asked.
    return Change(PURGE, _row(person), changed=bool(purged), rest=rest)


def purge_participants(
    *,
    operator: Operator,
    days: int,
    limit: int,
    confirm: Callable[[str], None],
    now: datetime,
    progress_factory: ProgressFactory,
    tenant: str | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Change:
    """Erase the personal data of everyone who was removed from ScaiKey `days` ago or earlier.

    At most `limit` people, in one tenant or in all. The reason goes into the audit log. `confirm`
    gets the question to ask, and raises if the answer is not yes. Each batch has its own
    transaction, so an interrupted call has purged some people completely, and the next one
    continues. People on hold are left out. Raises PurgeLimitExceeded, TenantNotFound, AmbiguousName
    and InvalidName.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_reason(reason)
    removed = visible_participants(operator).filter(
        _purgeable_q(), absent_since__lte=now - timedelta(days=min(days, MAX_DAYS))
    )
    if tenant is not None:
        removed = removed.filter(tenant=resolve_tenant(operator, tenant))
    due = removed.exclude(held_people_q())
    count = due.count()
    on_hold = removed.count() - count
    if count > limit:
        raise _build_limit_error(count, limit, days, tenant)
    people = _list_people(due)
    if not count or dry_run:
        return _build_result(people, count, 0, on_hold, dry_run=dry_run)
    whom = pluralize(count, "person", "people")
    confirm(
        f"This erases the name, e-mail address and avatar of {whom} who were removed from ScaiKey "
        f"at least {days} days ago. This can't be undone."
    )
    purged = 0
    details = {"reason": reason, "purge_after_days": days}
    with progress_factory("People purged") as progress:
        for keys in _iter_batches(due, limit):
            purged += _purge_batch(operator, keys, now, details, skip_locked=True)
            progress(purged, count)
    return _build_result(people, count, purged, on_hold)


def _build_limit_error(count: int, limit: int, days: int, tenant: str | None) -> PurgeLimitExceeded:
    place = f" --tenant {shlex.quote(tenant)}" if tenant else ""
    command = f"scaiwave admin {ACTION} --purge-after {days}{place} --limit {count}"
    return PurgeLimitExceeded(
        f"{pluralize(count, 'person was', 'people were')} removed from ScaiKey at least {days} "
        f"days ago, more than the limit of {limit:,}. No one was purged.",
        fix=f"Preview them: `{command} --dry-run`. If they are right, leave out --dry-run.",
    )


def _build_result(
    people: list[Row], due: int, purged: int, on_hold: int, *, dry_run: bool = False
) -> Change:
    """`due` people were to be purged, and `purged` of them were. `people` are the first of them,
    without personal data. `on_hold` more would be due, but a hold covers them."""
    would = f"Would purge {pluralize(due, 'person', 'people')}."
    done = f"{pluralize(purged, 'person', 'people')} purged."
    held = f"Not purged because of a hold: {pluralize(on_hold, 'person', 'people')}."
    return Change(
        ChangeWords("participants", would, done, would if dry_run else done),
        people,
        bool(purged),
        dry_run and bool(due),
        rest={"due": due, "purged": purged, "on_hold": on_hold},
        cautions=[held] if on_hold else [],
    )


def _purgeable_q() -> Q:
    """Match people who were removed from ScaiKey, rather than moved to another tenant, and whose
    data is still there."""
    here = Participant.objects.filter(
        scaikey_id=OuterRef("scaikey_id"),
        participant_type=ParticipantType.HUMAN,
        absent_since=None,
    )
    return Q(
        ~Exists(here),
        participant_type=ParticipantType.HUMAN,
        absent_since__isnull=False,
        purged_at=None,
    )


def _ensure_purgeable(person: Participant) -> None:
    """Raises `PurgeRefused` and `OnHold`."""
    require_person_not_held(person, f"purge {describe(person)}")
    if Participant.objects.filter(_purgeable_q(), pk=person.pk).exists() or person.purged_at:
        return
    if person.participant_type != ParticipantType.HUMAN:
        raise PurgeRefused(
            f"Can't purge {describe(person)}: the type is {person.participant_type}.",
            fix="Only people who were removed from ScaiKey can be purged.",
        )
    elsewhere = "" if person.absent_since is None else ", in another tenant"
    raise PurgeRefused(
        f"Can't purge {describe(person)}: the person is still in ScaiKey{elsewhere}.",
        fix="Remove the person in ScaiKey, run `scaiwave sync`, then purge them.",
    )


def _list_people(due: QuerySet[Participant]) -> list[Row]:
    server_name = get_server_name()
    first = due.select_related("tenant").order_by("absent_since", "pk")[:MAX_LISTED]
    return [
        {
            "id": person.pk,
            "fqid": person.fqid(server_name),
            "tenant": person.tenant.slug,
            "scaikey_id": person.scaikey_id,
            "deactivated_at": person.absent_since,
        }
        for person in first
    ]


def _iter_batches(due: QuerySet[Participant], limit: int) -> Iterator[list[UUID]]:
    """Yield the keys of at most `limit` people. People whom another command locks are left out."""
    last = UUID(int=0)
    while limit > 0:
        batch = due.filter(pk__gt=last).order_by("pk")
        keys = list(batch.values_list("pk", flat=True)[: min(limit, BATCH_SIZE)])
        if not keys:
            return
        yield keys
        limit, last = limit - len(keys), keys[-1]


def _purge_batch(
    operator: Operator,
    keys: Sequence[UUID],
    now: datetime,
    details: dict[str, Any],
    *,
    skip_locked: bool,
) -> int:
    """Purge the people who may still be purged, in one transaction; return how many.

    A sync writes the same rows in another order. Skipping its locked rows avoids deadlocks.
    """
    with transaction.atomic():
        block_new_holds()
        locked = Participant.objects.select_for_update(of=("self",), skip_locked=skip_locked)
        locked = locked.select_related("tenant").exclude(held_people_q())
        people = list(locked.filter(_purgeable_q(), pk__in=keys))
        if not people:
            return 0
        subjects = _describe_people(people)
        for eraser in extensions.PERSONAL_DATA_ERASERS:
            eraser.load()(subjects, DELETED_NAME)
        names = {name for person in subjects for name in person.operator_names}
        grants = RoleGrant.objects.alias(folded=Lower("granted_by"))
        grants.filter(Q(folded__in=names) | Q(granted_by__in=names)).update(granted_by=DELETED_NAME)
        for field in ("placed_by", "lifted_by"):
            holds = Hold.objects.alias(folded=Lower(field))
            holds = holds.filter(Q(folded__in=names) | Q((f"{field}__in", names)))
            holds.update(**{field: DELETED_NAME})
        Participant.objects.filter(pk__in=[person.pk for person in people]).update(
            display_name=DELETED_NAME, email="", avatar_url="", purged_at=now, updated_at=now
        )
        for person in people:
            removed_at = person.absent_since and person.absent_since.isoformat()
            record_audit(operator, ACTION, person, now, {**details, "removed_at": removed_at})
    return len(people)


def _describe_people(people: Sequence[Participant]) -> list[PurgedPerson]:
    """Return what other apps need to find the data of these people."""
    keys = [person.pk for person in people]
    texts = {person.pk: _fold({person.email, person.display_name}) for person in people}
    every = frozenset().union(*texts.values())
    server_name = get_server_name()
    # A name or an e-mail address that someone else has as well is that person's data too.
    others = Participant.objects.exclude(pk__in=keys).filter(purged_at=None)
    shared = {DELETED_NAME.lower()}
    for field in ("email", "display_name"):
        rows = others.alias(folded=Lower(field)).filter(
            Q(folded__in=every) | Q(**{f"{field}__in": every})
        )
        shared |= _fold(rows.values_list(field, flat=True))
    return [
        PurgedPerson(
            participant_id=person.pk,
            scaikey_id=person.scaikey_id or "",
            texts=frozenset({person.display_name, person.email}),
            operator_names=_fold({person.fqid(server_name)})
            | {text for text in texts[person.pk] if text.lower() not in shared},
        )
        for person in people
    ]


def _fold(texts: Iterable[str]) -> frozenset[str]:
    """Return the texts as they are and in lower case: SQLite folds the letters of ASCII only."""
    return frozenset(form for text in texts if text for form in (text, text.lower()))


def _row(person: Participant) -> Row:
    return participant_row(person, server_name=get_server_name())
