"""Requests for the registration of applications, and what became of them."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field

from scaiwave.sandbox.clients import Client
from scaiwave.sandbox.http.messages import HTTPError

WEEK_SECONDS = 7 * 24 * 3600.0


@dataclass(slots=True)
class PendingApplication:
    """A registration request; `expires` is a reading of the monotonic clock, in seconds."""

    client: Client
    expires: float
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(8)}")
    status_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    status: str = "PENDING"
    reason: str | None = None
    is_retrieved: bool = False

    def update_status(self) -> str:
        if self.status == "PENDING" and time.monotonic() >= self.expires:
            self.status = "EXPIRED"
        return self.status


class Registrations:
    """All registration requests of this run; one expires `lifetime` seconds after its creation."""

    def __init__(self, *, auto_approve: bool) -> None:
        self.auto_approve = auto_approve
        self.lifetime = WEEK_SECONDS
        self._lock = threading.Lock()
        self._requests: dict[str, PendingApplication] = {}

    def create(self, client: Client) -> PendingApplication:
        """Add a request for this client."""
        pending = PendingApplication(client, time.monotonic() + self.lifetime)
        with self._lock:
            self._requests[pending.request_id] = pending
        return pending

    def get(self, request_id: str, token: str | None = None) -> PendingApplication:
        """Return a request. Raises HTTPError 404 for an unknown one, 403 for a wrong token."""
        pending = self._requests.get(request_id)
        if pending is None:
            raise HTTPError(404, "Registration request not found")
        if token is not None and not hmac.compare_digest(
            pending.status_token.encode(), token.encode()
        ):
            raise HTTPError(403, "Invalid status token")
        return pending

    def decide(self, request_id: str, status: str, reason: str | None = None) -> PendingApplication:
        """Set the status of a pending request. Raises HTTPError 409 for any other."""
        pending = self.get(request_id)
        with self._lock:
            if pending.update_status() != "PENDING":
                raise HTTPError(409, f"Registration request is {pending.status}")
            pending.status, pending.reason = status, reason
            return pending

    def claim_credentials(self, pending: PendingApplication) -> bool:
        """Return whether this response contains the credentials: true exactly once."""
        with self._lock:
            if self.auto_approve and pending.update_status() == "PENDING":
                pending.status = "APPROVED"
            first = pending.update_status() == "APPROVED" and not pending.is_retrieved
            pending.is_retrieved = pending.is_retrieved or first
            return first

    def list_statuses(self) -> list[dict[str, str]]:
        return [
            {"request_id": p.request_id, "status": p.update_status()}
            for p in list(self._requests.values())
        ]

    def approved_clients(self) -> list[Client]:
        return [p.client for p in list(self._requests.values()) if p.status == "APPROVED"]
