"""Base64 for URLs and tokens, without padding (RFC 7515, appendix C)."""

from __future__ import annotations

from base64 import urlsafe_b64encode


def encode_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
