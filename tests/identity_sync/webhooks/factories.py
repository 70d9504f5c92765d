"""Make webhooks like ScaiKey does, without the code that verifies them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

PATH = "/v1/webhooks/scaikey"
SECRET = "whsec-current"


def make_body(event_type: str, resource_id: str, event_id: str = "evt_1", **more: Any) -> bytes:
    resource = {"type": event_type.partition(".")[0], "id": resource_id}
    envelope = {
        "event_id": event_id,
        "event_type": event_type,
        "timestamp": "2026-04-23T10:42:00Z",
        "resource": resource,
        "actor": {"id": "usr_admin", "type": "user"},
        "data": {"status": "SUSPENDED"},
        "tenant_id": "tnt_1",
        "partner_id": "prt_1",
    }
    return json.dumps({**envelope, **more}).encode()


def sign(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    moment = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={digest.hexdigest()}"


def make_headers(body: bytes, **options: Any) -> dict[str, str]:
    return {"X-ScaiKey-Signature": sign(body, **options), "Content-Type": "application/json"}
