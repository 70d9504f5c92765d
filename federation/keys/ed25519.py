"""Ed25519 keys and signatures (RFC 8032): as bytes, as text, and the ID derived from a key.

A private key is its seed, a public key its 32 raw bytes. A descriptor writes a public key as
`ed25519:<base64>` (ScaiWave docs, concepts/federation).
"""

from __future__ import annotations

import base64
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from federation.errors import InvalidKey
from federation.models import ServerKey
from scaiwave.core.base64url import encode_base64url

PREFIX = "ed25519:"
KEY_BYTES = 32
"""Length of a seed and of a public key (RFC 8032, 5.1.5)."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
"""32 bytes in base64: 43 digits, and the padding."""


def generate_seed() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes_raw()


def derive_public_key(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(data: bytes, seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(data)


def verify(signature: bytes, data: bytes, public_key: bytes) -> bool:
    """Return whether the signature is valid. One of the wrong length is not.

    Raises ValueError for a key of the wrong length: `parse_public_key` returns none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def compute_thumbprint(public_key: bytes) -> str:
    """Compute the RFC 7638 thumbprint of a key, as RFC 8037 defines it: 43 characters."""
    x = encode_base64url(public_key)
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    return encode_base64url(hashlib.sha256(canonical.encode()).digest())


def to_base64(public_key: bytes) -> str:
    return base64.b64encode(public_key).decode()


def format_public_key(public_key: bytes) -> str:
    return PREFIX + to_base64(public_key)


def format_stored_key(key: ServerKey) -> str:
    return PREFIX + key.public_key


def parse_stored_key(key: ServerKey) -> bytes:
    """Return the 32 bytes of a stored key. Raises InvalidKey if the row was tampered with."""
    return parse_public_key(format_stored_key(key))


def parse_public_key(text: object) -> bytes:
    """Return the 32 bytes of `ed25519:<base64>`, in either alphabet, padded or not.

    Raises InvalidKey.
    """
    if not isinstance(text, str) or not text.startswith(PREFIX):
        raise InvalidKey("The public key does not start with `ed25519:`.")
    encoded = text.removeprefix(PREFIX)
    if not _BASE64.fullmatch(encoded):
        raise InvalidKey("The public key is not 32 bytes in base64 after `ed25519:`.")
    return base64.b64decode(encoded.rstrip("=").replace("-", "+").replace("_", "/") + "=")
