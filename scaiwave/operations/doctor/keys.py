"""Checks of `doctor` for this server's federation settings and keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from federation.errors import REVOKE_DAMAGED, KeyDamaged
from federation.keys.check_keys import get_key_health
from federation.keys.descriptor import RENAMED_FIX, find_name_change
from federation.keys.encryption import key_unreadable_error
from federation.keys.queries import find_signing_key, load_keys
from federation.peers.addresses import get_peer_networks
from scaiwave.config import Configuration
from scaiwave.config.server_name import get_server_name
from scaiwave.core.errors import SettingInvalid
from scaiwave.operations.doctor.findings import Finding, failed, passed, warned


def check_federation_settings(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Check the server name and the networks of peers."""
    name = get_server_name(config)
    if name.host == "localhost":
        message = "SCAIWAVE_SERVER_NAME is localhost, so no peer can reach this server."
    else:
        message = f"Peers know this server as {name}."
    yield passed("federation", message)
    try:
        get_peer_networks(config)
    except SettingInvalid as error:
        yield failed("federation", error)


def check_federation_keys(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Check that a key signs, that all keys are readable, and when the next rotation is due."""
    health = get_key_health(now)
    if problem := find_name_change(find_signing_key(load_keys(), now), config):
        yield warned("keys", problem, RENAMED_FIX)
    if health.unreadable:
        yield failed("keys", key_unreadable_error(*health.unreadable))
    if health.damaged:
        message = (
            f"The stored private key does not match the public key: {', '.join(health.damaged)}."
        )
        signs = health.signing_key_id in health.damaged
        fix = None if signs else REVOKE_DAMAGED.format(health.damaged[0])
        yield failed("keys", KeyDamaged(message, fix=fix))
    if health.time_fault is not None:
        yield failed("keys", health.time_fault)
    elif health.signing_key_id is None:
        yield warned(
            "keys",
            "No signing key: peers can't verify this server, and exports are unsigned.",
            "Run `scaiwave admin federation key generate`.",
        )
    elif rotation := health.rotation_warning:
        yield warned("keys", *rotation)
    elif not health.unreadable and not health.damaged:
        yield passed(
            "keys",
            f"Signing key {health.signing_key_id} is active; all keys are readable. Its yearly "
            f"rotation is due on {health.rotation_due_at:%Y-%m-%d}.",
        )
