"""What doctor says about this server's keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from federation.errors import KeyDamaged
from federation.queries.key_health import key_health
from federation.services.private_halves import unreadable
from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding, failed, passed, warned


def federation_keys(config: Configuration, now: datetime) -> Iterator[Finding]:
    health = key_health(now)
    if health.unreadable:
        yield failed("keys", unreadable(*health.unreadable))
    if health.damaged:
        ids = ", ".join(health.damaged)
        yield failed("keys", KeyDamaged(f"What is stored for {ids} is not its private half."))
    if health.signing_key_id is None:
        yield warned(
            "keys",
            "No key signs, so peers can't trust this server and bundles go out unsigned.",
            "Run `scaiwave admin federation key generate`.",
        )
    elif health.rotation_is_near and health.rotation_due_at is not None:
        yield warned(
            "keys",
            f"The yearly rotation is due on {health.rotation_due_at:%Y-%m-%d}.",
            "Run `scaiwave admin federation key rotate`.",
        )
    elif not health.unreadable and not health.damaged:
        yield passed("keys", f"{health.signing_key_id} signs, and every key can be read.")
