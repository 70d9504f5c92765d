"""Read the messages of a room as an operator. Each look is recorded with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from rooms.errors import MessageLimitReached, ReasonMissing
from rooms.models import Event, Room
from scaiwave.core.locks import lock_in_transaction
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.validators import validate_reason
from tenants.models import AuditEntry

ACTION = "read-messages"
MAX_MESSAGES = 50
"""Events on one page."""
MAX_PAGES = 30
LIMIT_PERIOD = timedelta(minutes=10)
"""One account may read up to `MAX_PAGES` pages in this time, of all rooms together."""


@dataclass(frozen=True)
class Message:
    """An event of the room. `text` is the body of a message, or else the content as JSON; it is
    empty if the event is redacted."""

    position: int
    sent_at: datetime
    sender: str
    event_type: str
    text: str
    is_edited: bool
    is_redacted: bool


@dataclass(frozen=True)
class MessagePage:
    """Events of a room, newest first. `next_before` is the position to go on from, or None."""

    messages: list[Message]
    next_before: int | None


def read_messages(
    *, operator: Operator, room: Room, reason: str, before: int | None, now: datetime
) -> MessagePage:
    """Return the newest events of a room, or the newest before a position of the stream.

    The caller has found the room within the operator's scope. Raises `ReasonMissing`,
    `InvalidName` for a reason that can't be printed, and `MessageLimitReached`.
    """
    operator.require(Permission.READ_MESSAGES)
    if not reason.strip():
        raise ReasonMissing("No reason was given.")
    validate_reason(reason)
    events = Event.objects.filter(room=room).select_related("sender").order_by("-stream_position")
    if before is not None:
        events = events.filter(stream_position__lt=before)
    with transaction.atomic():
        _check_limit(operator, now)
        found = list(events[: MAX_MESSAGES + 1])
        shown = found[:MAX_MESSAGES]
        record_audit(
            operator=operator,
            action=ACTION,
            subject=room,
            tenant=room.tenant,
            now=now,
            details={
                "reason": reason.strip(),
                "events": len(shown),
                "newest_position": shown[0].stream_position if shown else None,
                "oldest_position": shown[-1].stream_position if shown else None,
            },
            is_change=False,
        )
    more = len(found) > MAX_MESSAGES
    return MessagePage(
        [_build_message(event) for event in shown], shown[-1].stream_position if more else None
    )


def _check_limit(operator: Operator, now: datetime) -> None:
    """Count the pages that the account has read, by its ScaiKey ID, since its name may change."""
    lock_in_transaction(f"{ACTION} {operator.subject or operator.name}")
    by = {"operator_id": operator.subject}
    if not operator.subject:
        by["operator"] = operator.name
    looks = AuditEntry.objects.filter(at__gt=now - LIMIT_PERIOD, action=ACTION, **by)
    if looks.count() >= MAX_PAGES:
        raise MessageLimitReached(
            f"{operator.name} has read {MAX_PAGES} pages of messages in the last "
            f"{LIMIT_PERIOD // timedelta(minutes=1)} minutes."
        )


def _build_message(event: Event) -> Message:
    is_redacted = event.redacted_at is not None
    body = event.content.get("body") if isinstance(event.content, dict) else None
    text = body if isinstance(body, str) else json.dumps(event.content, ensure_ascii=False)
    return Message(
        position=event.stream_position,
        sent_at=event.created_at,
        sender=str(event.sender),
        event_type=event.event_type,
        text="" if is_redacted else text,
        is_edited=event.edited_at is not None,
        is_redacted=is_redacted,
    )
