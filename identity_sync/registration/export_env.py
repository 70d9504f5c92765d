"""Export the ScaiKey settings, with their secrets, for a shell to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from identity_sync.models import Registration
from scaiwave.clients.registration import get_missing_registration
from scaiwave.config import SETTINGS, Configuration
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit

PREFIX = "SCAIWAVE_SCAIKEY_"


def export_env(*, operator: Operator, config: Configuration, now: datetime) -> dict[str, str]:
    """Return the ScaiKey settings that are set, unmasked, and record that in the audit.

    Raises `NotRegistered` if none is set.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    names = [setting.name for setting in SETTINGS if setting.name.startswith(PREFIX)]
    values = {name: config.get_str(name) for name in names if config.get_str(name)}
    if not values:
        raise get_missing_registration(config)
    url, client_id = (values.get(f"{PREFIX}{name}", "") for name in ("URL", "CLIENT_ID"))
    rows = Registration.objects.filter(scaikey_url=url.rstrip("/"), client_id=client_id)
    # Credentials that were set manually have no row.
    manual = Registration(id=UUID(int=0), scaikey_url=url, name="manual", state="APPROVED")
    details = {"names": list(values)}
    subject = rows.newest_first().first() or manual
    record_audit(operator, "export-env", subject, now, details, is_change=False)
    return values


def format_exports(values: Mapping[str, str]) -> str:
    """Return lines that any POSIX shell evaluates to exactly these values.

    Between single quotes only the single quote is special.
    """
    quoted = {name: value.replace("'", "'\\''") for name, value in values.items()}
    return "".join(f"export {name}='{value}'\n" for name, value in quoted.items())
