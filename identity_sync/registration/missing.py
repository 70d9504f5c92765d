"""Why this server has no credentials for ScaiKey: how far its registration has come."""

from __future__ import annotations

from identity_sync.models import Registration, RegistrationState
from identity_sync.registration.credentials import CREDENTIAL_SETTINGS, find_waiting_credentials
from scaiwave.config import Configuration
from scaiwave.core.errors import CredentialsIncomplete, NotRegistered


def describe_missing_registration(config: Configuration) -> NotRegistered:
    """Return the error for a server without credentials: how far its last request has come."""
    if waiting := find_waiting_credentials(config):
        return NotRegistered(
            f"ScaiKey has approved request {waiting.request_id}, and its credentials are saved but "
            "not configured.",
            fix="Run `scaiwave sync register` to configure them.",
        )
    missing = [name for name in CREDENTIAL_SETTINGS if not config.get_str(name)]
    if missing and config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"):
        return CredentialsIncomplete(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            fix="Set it in the configuration file, or run `scaiwave sync register` to register "
            "again.",
        )
    row = Registration.objects.newest_first().first()
    if row is None:
        return NotRegistered(
            "This server is not registered with ScaiKey.",
            fix="Run `scaiwave sync register`. If this server was registered before, check "
            f"SCAIWAVE_HOME: it is {config.home}.",
        )
    return _describe_last_request(row)


def _describe_last_request(row: Registration) -> NotRegistered:
    again = "Run `scaiwave sync register` to apply again with the same answers."
    match row.state:
        case RegistrationState.PENDING:
            return NotRegistered(
                "This server is not registered yet: waiting for approval of request "
                f"{row.request_id}.",
                fix=f"Approve request {row.request_id} in ScaiKey, then run `scaiwave sync "
                "register`.",
            )
        case RegistrationState.REJECTED:
            reason = row.rejection_reason.rstrip(".") or "no reason given"
            return NotRegistered(
                f"This server is not registered: ScaiKey rejected request {row.request_id}: "
                f"{reason}.",
                fix=f"Resolve the reason with a ScaiKey administrator. {again}",
            )
        case RegistrationState.EXPIRED | RegistrationState.CANCELLED:
            how = "has expired" if row.state == RegistrationState.EXPIRED else "was cancelled"
            return NotRegistered(
                f"This server is not registered: request {row.request_id} {how}.", fix=again
            )
        case _:
            return NotRegistered(
                f"This server was registered by request {row.request_id}, but no credentials are "
                "configured.",
                fix="Restore the configuration file, or run `scaiwave sync register` to register "
                "again.",
            )
