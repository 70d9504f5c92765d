"""What this server tells its peers (ScaiWave docs, concepts/federation and reference/api)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from federation.models import ServerKey
from federation.queries.keys import all_keys, find_signing_key, is_valid
from federation.services.public_keys import format_key
from scaiwave.console.output import json_default

PATH = "/.well-known/scaiwave/server"
VERSION = "v1"
ENDPOINTS = {
    "send": "/_scaiwave/federation/v1/send",
    "profile": "/_scaiwave/federation/v1/profile/{local_id}",
    "members": "/_scaiwave/federation/v1/rooms/{room_id}/members",
    "backfill": "/_scaiwave/federation/v1/rooms/{room_id}/backfill",
}
LONGEST_CACHED = timedelta(minutes=5)
"""A rotation or revocation has reached everybody who keeps to it after so long."""


@dataclass(frozen=True)
class Descriptor:
    """The document, and for how many seconds it may be cached."""

    document: dict[str, Any]
    max_age: int


def descriptor(now: datetime) -> Descriptor:
    """`public_key` is empty where nothing signs. `previous_keys` is this suite's own addition:
    keys that still verify, so that a peer can follow a rotation without asking anybody."""
    keys = all_keys()
    signing = find_signing_key(keys, now)
    previous = [key for key in keys if key != signing and _is_previous(key, now)]
    document = {
        "server_name": settings.CONFIG.get_str("SCAIWAVE_SERVER_NAME"),
        "public_key": format_key(signing) if signing else "",
        "protocol_versions": [VERSION],
        "endpoints": ENDPOINTS,
        "previous_keys": [_previous(key) for key in previous],
    }
    return Descriptor(document, _max_age(previous, now))


def _is_previous(key: ServerKey, now: datetime) -> bool:
    return is_valid(key, now) and key.retires_at is not None and key.signs_from <= now


def _previous(key: ServerKey) -> dict[str, str]:
    return {"public_key": format_key(key), "expires_at": json_default(key.retires_at)}


def _max_age(previous: list[ServerKey], now: datetime) -> int:
    ends = [key.retires_at - now for key in previous if key.retires_at is not None]
    return math.floor(min([LONGEST_CACHED, *ends]).total_seconds())
