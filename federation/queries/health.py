"""What doctor says about this server's keys, and what its peers are to know it by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from federation.errors import KeyDamaged
from federation.queries.key_health import key_health
from federation.services.key_encryption import key_unreadable_error
from federation.services.peer_addresses import peer_networks
from federation.services.server_names import get_server_name
from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding, failed, passed, warned
from scaiwave.errors import SettingInvalid


def federation_settings(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Its name, and where its peers may be."""
    try:
        name = get_server_name(config)
    except SettingInvalid as error:
        yield failed("federation", error)
    else:
        known = f"Peers know this server as {name}."
        none = "This server has no name of its own, so it has no peers."
        yield passed("federation", none if name.host == "localhost" else known)
    try:
        peer_networks(config)
    except SettingInvalid as error:
        yield failed("federation", error)


def federation_keys(config: Configuration, now: datetime) -> Iterator[Finding]:
    health = key_health(now)
    if health.unreadable:
        yield failed("keys", key_unreadable_error(*health.unreadable))
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
