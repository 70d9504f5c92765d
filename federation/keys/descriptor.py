"""This server's descriptor (ScaiWave docs, concepts/federation and reference/api)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from federation.keys.ed25519 import format_stored_key
from federation.keys.queries import (
    NO_KEY,
    find_signing_key,
    find_time_fault,
    is_valid,
    load_keys,
)
from federation.models import ServerKey
from scaiwave.config import Configuration
from scaiwave.console.output import json_default
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report

DESCRIPTOR_PATH = "/.well-known/scaiwave/server"
PROTOCOL_VERSION = "v1"
ENDPOINTS = {
    "send": "/_scaiwave/federation/v1/send",
    "profile": "/_scaiwave/federation/v1/profile/{local_id}",
    "members": "/_scaiwave/federation/v1/rooms/{room_id}/members",
    "backfill": "/_scaiwave/federation/v1/rooms/{room_id}/backfill",
}
MAX_CACHE_AGE = timedelta(minutes=5)
"""After this time, a rotation or revocation has reached every peer that obeys the headers."""

LOCALHOST_WARNING = (
    "The server name is localhost, which no peer can reach. Set SCAIWAVE_SERVER_NAME."
)


RENAMED_FIX = (
    "Restore the earlier name. If you have renamed the server on purpose, publish a new key under "
    "the new name: `scaiwave admin federation key rotate`."
)


@dataclass(frozen=True)
class Descriptor:
    """The document, for how many seconds it may be cached, and the key that signs, if any."""

    document: dict[str, Any]
    max_age: int
    signing_key: ServerKey | None


def show_descriptor(*, operator: Operator, now: datetime) -> Report:
    """Return the descriptor as peers fetch it now, with warnings for the operator."""
    operator.require(Permission.VIEW_PLATFORM)
    descriptor = build_descriptor(now)
    change = find_name_change(descriptor.signing_key, settings.CONFIG)
    name, warnings = descriptor.document["server_name"], []
    if fault := find_time_fault(load_keys(), now):
        warnings.append(f"{fault.message} {fault.fix}")
    elif not descriptor.signing_key:
        warnings.append(NO_KEY)
    if name == "localhost":
        warnings.append(LOCALHOST_WARNING)
    if change:
        warnings.append(f"{change} {RENAMED_FIX}")
    sentence = f"Peers fetch it from https://{name}{DESCRIPTOR_PATH}."
    return Report(descriptor.document, sentence, warnings=warnings)


def find_name_change(key: ServerKey | None, config: Configuration) -> str:
    """Return a sentence if the key was published under another server name than now, else ""."""
    name = config.get_str("SCAIWAVE_SERVER_NAME")
    if key is None or key.published_as.lower() in {"", name.lower()}:
        return ""
    return f"SCAIWAVE_SERVER_NAME is {name}, but peers know this server as {key.published_as}."


def build_descriptor(now: datetime) -> Descriptor:
    """Build the descriptor. `public_key` is empty if no key signs.

    `previous_keys` is an addition of this suite: keys that still verify, so that a peer can follow
    a rotation without contacting anyone.
    """
    keys = load_keys()
    signing = find_signing_key(keys, now)
    previous = {
        key: key.retires_at
        for key in keys
        if key != signing and is_valid(key, now) and key.retires_at and key.signs_from <= now
    }
    document = {
        "server_name": settings.CONFIG.get_str("SCAIWAVE_SERVER_NAME"),
        "public_key": format_stored_key(signing) if signing else "",
        "protocol_versions": [PROTOCOL_VERSION],
        "endpoints": ENDPOINTS,
        "previous_keys": [
            {"public_key": format_stored_key(key), "expires_at": json_default(retires_at)}
            for key, retires_at in previous.items()
        ],
    }
    max_age = min([MAX_CACHE_AGE, *(retires_at - now for retires_at in previous.values())])
    return Descriptor(document, math.floor(max_age.total_seconds()), signing)
