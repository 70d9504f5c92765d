"""Verify the signature of a webhook (ScaiKey docs, reference/webhooks)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from identity_sync.errors import WebhookNotConfigured, WebhookSignatureInvalid
from scaiwave.config import Configuration

HEADER = "X-ScaiKey-Signature"
TOLERANCE_SECONDS = 300

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def get_secrets(config: Configuration) -> list[str]:
    """Return the accepted secrets: the current one, and the previous one while it is rotated.

    Raises `WebhookNotConfigured` if there is no current one.
    """
    current = config.get_str("SCAIWAVE_SCAIKEY_WEBHOOK_SECRET")
    if not current:
        raise WebhookNotConfigured("A webhook arrived, but no webhook secret is configured.")
    previous = config.get_str("SCAIWAVE_SCAIKEY_WEBHOOK_SECRET_PREVIOUS")
    return [current, previous] if previous else [current]


def verify_signature(header: str, body: bytes, *, secrets: Sequence[str], now: float) -> None:
    """Check that ScaiKey signed these bytes within the last 300 s.

    `header` is `t=<Unix seconds>,v1=<hex>`, where `v1` may be repeated. Each digest is compared
    with each secret, in constant time. Raises `WebhookSignatureInvalid`.
    """
    parts = [part.strip().partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in parts if name == "t"]
    digests = [value for name, _, value in parts if name == "v1" and _DIGEST.fullmatch(value)]
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]) or not digests:
        raise WebhookSignatureInvalid(f"The header {HEADER} is missing or malformed.")
    (timestamp,) = timestamps
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise WebhookSignatureInvalid(
            f"The signature's timestamp is more than {TOLERANCE_SECONDS} s away from this server's "
            "clock."
        )
    expected = [compute_signature(timestamp, body, secret) for secret in secrets]
    # All pairs: the time must not show which of them matches.
    matches = [hmac.compare_digest(digest, own) for digest in digests for own in expected]
    if not any(matches):
        raise WebhookSignatureInvalid("The signature doesn't match.")


def compute_signature(timestamp: str, body: bytes, secret: str) -> str:
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
