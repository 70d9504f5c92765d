"""Hands out the ScaiKey settings, secrets included, for a shell to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from identity_sync.models import Registration
from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.connect import NotRegistered
from scaiwave.config import SETTINGS, Configuration
from tenants.services.audit import record_audit

PREFIX = "SCAIWAVE_SCAIKEY_"


def export_env(*, operator: Operator, config: Configuration, now: datetime) -> dict[str, str]:
    """The ScaiKey settings that are set, unmasked; that somebody read them is audited.

    Raises `NotRegistered` when none is.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    names = [setting.name for setting in SETTINGS if setting.name.startswith(PREFIX)]
    values = {name: config.get_str(name) for name in names if config.get_str(name)}
    if not values:
        raise NotRegistered("This server is not registered with ScaiKey.")
    record_audit(
        operator=operator,
        action="export-env",
        subject=_subject(values.get(f"{PREFIX}URL", ""), values.get(f"{PREFIX}CLIENT_ID", "")),
        now=now,
        details={"names": list(values)},
    )
    return values


def format_exports(values: Mapping[str, str]) -> str:
    """Lines that any POSIX shell evaluates to exactly these values."""
    return "".join(f"export {name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    """Nothing is special between single quotes but the single quote."""
    return "'" + value.replace("'", "'\\''") + "'"


def _subject(url: str, client_id: str) -> Registration:
    """The registration that is configured; credentials set by hand have no row, so no id."""
    found = Registration.objects.filter(scaikey_url=url.rstrip("/"), client_id=client_id)
    by_hand = Registration(id=UUID(int=0), scaikey_url=url, name="by hand", state="APPROVED")
    return found.order_by("-requested_at").first() or by_hand
