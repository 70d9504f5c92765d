"""Store the event of a webhook whose signature is valid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import OperationalError

from identity_sync.errors import WebhookInvalid, WebhookNotStored
from identity_sync.models import WebhookEvent, WebhookState
from scaiwave.clients.scaikey.schemas import CONTROL_CHARACTERS, MAX_ID_CHARS
from scaiwave.core.msgspec_decoders import get_decoder

KINDS = {
    "partner": "partners",
    "tenant": "tenants",
    "user": "participants",
    "group": "groups",
}
MEMBER_EVENTS = ("group.member_added", "group.member_removed")


class _Resource(msgspec.Struct):
    id: str
    type: str = ""


class _Envelope(msgspec.Struct):
    event_id: str
    event_type: str
    resource: _Resource | None = None
    timestamp: Any = None
    data: Any = None


def receive_event(body: bytes, *, now: datetime) -> bool:
    """Store the event, and return whether its type is handled. A repeated event is stored once.

    All events about a partner, a tenant, a user or a group are handled: each means that the record
    may have changed. Raises `WebhookInvalid`, and `WebhookNotStored` if ScaiKey must deliver the
    event again.
    """
    try:
        envelope: _Envelope = get_decoder(_Envelope).decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise WebhookInvalid(f"The body is not an event: {error}.") from None
    kind, scaikey_id = _find_subject(envelope)
    event_id = _require_id("event_id", envelope.event_id)
    values = {
        "event_type": _require_id("event_type", envelope.event_type),
        "kind": kind,
        "scaikey_id": scaikey_id,
        "state": WebhookState.PENDING if kind else WebhookState.IGNORED,
        "occurred_at": _parse_time(envelope.timestamp),
        "received_at": now,
        "ended_at": None if kind else now,
    }
    try:
        WebhookEvent.objects.get_or_create(event_id=event_id, defaults=values)
    except OperationalError as error:
        # A status of 4xx, such as for a busy database, might count as final.
        raise WebhookNotStored(f"A webhook could not be stored: {error}") from error
    return bool(kind)


def _find_subject(envelope: _Envelope) -> tuple[str, str]:
    """Return the kind and the ScaiKey ID of the record to look up; empty for an ignored type."""
    resource = envelope.resource
    kind = KINDS.get(envelope.event_type.partition(".")[0], "")
    if not kind:
        return "", ""
    # assumption: the resource of an event about a member is the group; where it is the member,
    # the data has the group.
    if envelope.event_type in MEMBER_EVENTS and resource and resource.type not in ("group", ""):
        group_id = envelope.data.get("group_id") if isinstance(envelope.data, dict) else None
        return kind, _require_id("data.group_id", group_id)
    return kind, _require_id("resource.id", resource.id if resource else None)


def _require_id(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARS:
        raise WebhookInvalid(f"{name} must be a text of 1 to {MAX_ID_CHARS} characters.")
    if CONTROL_CHARACTERS.search(value):
        raise WebhookInvalid(f"{name} contains control characters.")
    return value


def _parse_time(value: object) -> datetime | None:
    """Return the time of the event, or None if it is unreadable: it is only shown."""
    try:
        timestamp = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
