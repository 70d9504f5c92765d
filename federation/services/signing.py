"""Checking what this or another server has signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from federation.errors import (
    InvalidDescriptor,
    InvalidKey,
    InvalidSignature,
    SignatureOutsideValidity,
    SigningKeyRevoked,
)
from federation.models import ServerKey
from federation.queries.keys import DRIFT, all_keys
from federation.services import ed25519, public_keys
from scaiwave.console.output import json_default


@dataclass(frozen=True)
class VerifyingKey:
    """A public half, its raw 32 bytes, and the time it counts for; None is open."""

    key_id: str
    public_key: bytes
    signs_from: datetime | None = None
    verifies_until: datetime | None = None
    revoked: bool = False


def own_keys() -> dict[str, VerifyingKey]:
    """Every key this server ever had, by its id, revoked ones marked."""
    return {key.key_id: _verifying(key) for key in all_keys()}


def key_from_text(text: object) -> VerifyingKey:
    """The key that `ed25519:<base64>` writes, for all time. Raises InvalidKey."""
    public_key = public_keys.parse(text)
    return VerifyingKey(public_keys.thumbprint(public_key), public_key)


def keys_from_descriptor(document: object) -> dict[str, VerifyingKey]:
    """The keys of a server's descriptor by their ids: none where its `public_key` is empty.

    Raises InvalidDescriptor.
    """
    if not isinstance(document, Mapping):
        raise InvalidDescriptor("A descriptor is a JSON object, and this is none.")
    keys = [_current(document), *_previous(document)]
    found: dict[str, VerifyingKey] = {}
    for key in filter(None, keys):
        found.setdefault(key.key_id, key)  # The signing key counts where it is listed twice.
    return found


def verify(data: bytes, signature: bytes, *, key: VerifyingKey, signed_at: datetime) -> None:
    """Return if this key made the signature, at a time when it counted.

    A key that has been rotated since still verifies what it signed in its time, a revoked one
    nothing. Both times are aware. Raises SigningKeyRevoked, InvalidSignature,
    SignatureOutsideValidity.
    """
    if key.revoked:
        raise SigningKeyRevoked(f"The signature is by key {key.key_id}, which is revoked.")
    if not ed25519.verify(signature, data, key.public_key):
        raise InvalidSignature(f"The signature is not one by key {key.key_id} over these bytes.")
    if why := _out_of_time(key, signed_at):
        dated = json_default(signed_at)
        raise SignatureOutsideValidity(
            f"The signature by key {key.key_id} is dated {dated}, {why}."
        )


def _out_of_time(key: VerifyingKey, signed_at: datetime) -> str:
    """Why the key did not count then, or an empty text.

    Differences of any two dates are within bounds; a strange date plus a minute may not be.
    """
    if key.signs_from is not None and key.signs_from - signed_at > DRIFT:
        return "before that key was in use"
    if key.verifies_until is not None and signed_at - key.verifies_until >= DRIFT:
        return "after that key had expired"
    return ""


def _verifying(key: ServerKey) -> VerifyingKey:
    return VerifyingKey(
        key.key_id,
        public_keys.raw_public_key(key),
        signs_from=key.signs_from,
        verifies_until=key.retires_at,
        revoked=key.revoked_at is not None,
    )


def _current(document: Mapping[str, Any]) -> VerifyingKey | None:
    text = document.get("public_key")
    if text == "":
        return None
    try:
        return key_from_text(text)
    except InvalidKey as error:
        raise InvalidDescriptor(
            f"The descriptor's `public_key` is no good. {error.message}"
        ) from None


def _previous(document: Mapping[str, Any]) -> list[VerifyingKey]:
    listed = document.get("previous_keys", [])
    if not isinstance(listed, list):
        raise InvalidDescriptor("The descriptor's `previous_keys` is not a list.")
    return [_expiring(entry) for entry in listed]


def _expiring(entry: object) -> VerifyingKey:
    """One of `previous_keys`: {"public_key", "expires_at"}."""
    fields = entry if isinstance(entry, Mapping) else {}
    try:
        expires_at = datetime.fromisoformat(str(fields.get("expires_at")))
        public_key = public_keys.parse(fields.get("public_key"))
    except (ValueError, InvalidKey):
        raise _bad_previous() from None
    if expires_at.tzinfo is None:
        raise _bad_previous()
    return VerifyingKey(public_keys.thumbprint(public_key), public_key, verifies_until=expires_at)


def _bad_previous() -> InvalidDescriptor:
    return InvalidDescriptor(
        "The descriptor's `previous_keys` holds something that is not a key with its time."
    )
