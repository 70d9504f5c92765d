"""The public halves of keys as text and as bytes, and the id that follows from them.

A descriptor writes a key as `ed25519:<base64>` (ScaiWave docs, concepts/federation).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from federation.errors import InvalidKey
from federation.models import ServerKey

PREFIX = "ed25519:"
LENGTH = 32
"""Bytes of an Ed25519 public key (RFC 8032, 5.1.5)."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


def thumbprint(public_key: bytes) -> str:
    """The RFC 7638 thumbprint of an Ed25519 key, as RFC 8037 defines it: 43 characters."""
    x = _url_safe(public_key)
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    return _url_safe(hashlib.sha256(canonical.encode()).digest())


def to_base64(public_key: bytes) -> str:
    return base64.b64encode(public_key).decode()


def encode(public_key: bytes) -> str:
    return PREFIX + to_base64(public_key)


def format_key(key: ServerKey) -> str:
    return PREFIX + key.public_key


def raw_public_key(key: ServerKey) -> bytes:
    """The 32 bytes of a stored key. Raises InvalidKey for a row that somebody has tampered with."""
    return parse(format_key(key))


def parse(text: object) -> bytes:
    """The 32 bytes of `ed25519:<base64>`, of either alphabet, padded or not. Raises InvalidKey."""
    if not isinstance(text, str) or not text.startswith(PREFIX):
        raise InvalidKey("A public key begins with `ed25519:`, and this text does not.")
    encoded = text.removeprefix(PREFIX)
    if not _BASE64.fullmatch(encoded):
        raise InvalidKey("What follows `ed25519:` is not 32 bytes in base64.")
    return _decoded(encoded)


def _decoded(encoded: str) -> bytes:
    standard = encoded.rstrip("=").replace("-", "+").replace("_", "/") + "="
    try:
        return base64.b64decode(standard, validate=True)
    except binascii.Error:
        raise InvalidKey("What follows `ed25519:` is not 32 bytes in base64.") from None


def _url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
