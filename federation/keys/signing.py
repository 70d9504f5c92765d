"""Verify what this or another server has signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q

from federation.errors import (
    InvalidDescriptor,
    InvalidKey,
    InvalidSignature,
    SignatureOutsideValidity,
    SignatureRefused,
    SigningKeyRevoked,
)
from federation.keys import ed25519
from federation.keys.ed25519 import to_base64
from federation.keys.queries import load_keys
from federation.models import KnownPeer
from scaiwave.config.server_name import find_server_name, normalize_server_name
from scaiwave.console.output import json_default
from scaiwave.core.clock import MAX_CLOCK_AHEAD
from scaiwave.core.signed_files import ALGORITHM, SignedFile


@dataclass(frozen=True)
class VerifyingKey:
    """A public key, its raw 32 bytes, its validity period (None: unbounded), and its owner: the
    server of the descriptor, or else, unless it `is_offline`, who has it by the database."""

    key_id: str
    public_key: bytes
    signs_from: datetime | None = None
    verifies_until: datetime | None = None
    revoked: bool = False
    server_name: str = ""
    is_own: bool = False
    is_offline: bool = False


def own_keys() -> dict[str, VerifyingKey]:
    """Return every key this server has ever had, by its ID. Revoked keys are marked."""
    return {
        key.key_id: VerifyingKey(
            key.key_id,
            ed25519.parse_stored_key(key),
            signs_from=key.signs_from,
            verifies_until=key.retires_at,
            revoked=key.revoked_at is not None,
            is_own=True,
        )
        for key in load_keys()
    }


def key_from_text(text: object) -> VerifyingKey:
    """Parse `ed25519:<base64>` into a key with unbounded validity. Raises InvalidKey."""
    public_key = ed25519.parse_public_key(text)
    return VerifyingKey(ed25519.compute_thumbprint(public_key), public_key)


def keys_from_descriptor(document: object) -> dict[str, VerifyingKey]:
    """Return the keys of a server's descriptor by their IDs. Its `public_key` may be empty.

    Raises InvalidDescriptor.
    """
    if not isinstance(document, Mapping):
        raise InvalidDescriptor("The descriptor is not a JSON object.")
    previous = document.get("previous_keys", [])
    if not isinstance(previous, list):
        raise InvalidDescriptor("The descriptor's `previous_keys` is not a list.")
    listed = [_parse_current(document), *map(_parse_previous_key, previous)]
    name = given if isinstance(given := document.get("server_name"), str) else ""
    # The signing key comes first, so it wins over a previous key with the same ID.
    return {key.key_id: replace(key, server_name=name) for key in reversed(listed) if key}


def verify(data: bytes, signature: bytes, *, key: VerifyingKey, signed_at: datetime) -> None:
    """Return if this key made the signature within its validity period, else raise.

    A key that was rotated since still verifies its older signatures; a revoked key verifies
    nothing. `signed_at` must be timezone-aware. Raises SigningKeyRevoked, InvalidSignature,
    SignatureOutsideValidity.
    """
    if key.revoked:
        raise SigningKeyRevoked(f"The signature was made with key {key.key_id}, which is revoked.")
    if not ed25519.verify(signature, data, key.public_key):
        raise InvalidSignature(f"The signature does not match key {key.key_id} and the data.")
    if reason := _find_validity_problem(key, signed_at):
        date = json_default(signed_at)
        raise SignatureOutsideValidity(
            f"The signature made with key {key.key_id} is dated {date}, {reason}."
        )


def name_signer(server_name: str, key: VerifyingKey) -> str:
    """Return the name if the key proves it, else the key.

    Any name is proven by an own key, since this server may have had another one. Raises
    `SignatureRefused` if another server has the key, if a known one, such as this one, has another,
    or if no server can have the name, such as a text that this function returns.
    """
    name, names = normalize_server_name(server_name), [key.server_name] if key.server_name else []
    if not (names or key.is_own or key.is_offline):
        own, text = settings.CONFIG.get_str("SCAIWAVE_SERVER_NAME"), to_base64(key.public_key)
        peers = KnownPeer.objects.filter(Q(public_key=text) | Q(server_name=name))
        names = [each.server_name if each.public_key == text else "" for each in peers]
        names += [""] if name == normalize_server_name(own) else []
    if key.is_own or name in map(normalize_server_name, names):
        return server_name
    if names or find_server_name(name) is None:
        raise SignatureRefused(
            f"Key {key.key_id} is not a key of {server_name}.",
            fix=f"If you trust {server_name}, pass its descriptor with --descriptor.",
        )
    return f"key {key.key_id}, which proves no server name"


def verify_file(file: SignedFile, keys: Mapping[str, VerifyingKey], signed_at: str) -> str:
    """Return who has signed a document with one of these keys, as `name_signer` does.

    The key must have been valid then. Raises `SignatureRefused`.
    """
    name, key_id = file.content["server_name"], file.content["key_id"]
    if key_id not in keys or file.content["algorithm"] != ALGORITHM:
        raise SignatureRefused(
            f"It claims to be by {name}, with key {key_id}, which is not known here.",
            fix=f"If you trust {name}, pass its key with --key, or its descriptor with "
            "--descriptor. `scaiwave admin federation descriptor` shows both there.",
        )
    signed = datetime.fromisoformat(signed_at)
    verify(file.message, file.signature, key=keys[key_id], signed_at=signed)
    return name_signer(name, keys[key_id])


def _find_validity_problem(key: VerifyingKey, signed_at: datetime) -> str:
    """Describe why the key was not valid at that time, or return an empty string.

    Dates are subtracted, not shifted: adding the drift to an extreme date could overflow.
    """
    if key.signs_from is not None and key.signs_from - signed_at > MAX_CLOCK_AHEAD:
        return "before the key was in use"
    if key.verifies_until is not None and signed_at - key.verifies_until >= MAX_CLOCK_AHEAD:
        return "after the key expired"
    return ""


def _parse_current(document: Mapping[str, Any]) -> VerifyingKey | None:
    text = document.get("public_key")
    if text == "":
        return None
    try:
        return key_from_text(text)
    except InvalidKey as error:
        raise InvalidDescriptor(
            f"The descriptor's `public_key` is invalid. {error.message}"
        ) from None


def _parse_previous_key(entry: object) -> VerifyingKey:
    """Parse one entry of `previous_keys`: {"public_key", "expires_at"}."""
    fields = entry if isinstance(entry, Mapping) else {}
    try:
        expires_at = datetime.fromisoformat(str(fields.get("expires_at")))
        public_key = ed25519.parse_public_key(fields.get("public_key"))
        if expires_at.tzinfo is None:
            raise ValueError
    except (ValueError, InvalidKey):
        raise InvalidDescriptor(
            "The descriptor's `previous_keys` contains an entry without a valid key and expiry."
        ) from None
    return VerifyingKey(
        ed25519.compute_thumbprint(public_key), public_key, verifies_until=expires_at
    )
