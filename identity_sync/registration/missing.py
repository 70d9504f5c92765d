"""How far the registration of this server has come, and why it has no credentials for ScaiKey."""

from __future__ import annotations

from dataclasses import dataclass

from identity_sync.models import MAX_ID_CHARS, Registration, RegistrationState
from identity_sync.registration.credentials import CREDENTIAL_SETTINGS, find_waiting_credentials
from scaiwave.config import Configuration
from scaiwave.core.errors import CredentialsIncomplete, NotRegistered


@dataclass(frozen=True)
class RegistrationProgress:
    """How far the registration has come.

    `kind` is `registered`, `incomplete` if a credential is not set, `saved` if credentials wait to
    be configured, `unregistered`, or the state of the last request. `in_use` is the request whose
    credentials are configured, or else the last one; `pending` waits to replace it. `request_id` is
    the request that an error names, and `missing` the settings without a value.
    """

    kind: str
    last: Registration | None
    in_use: Registration | None
    pending: Registration | None
    request_id: str
    missing: list[str]

    @property
    def reason(self) -> str:
        """Why the last request was rejected."""
        return (self.last and self.last.rejection_reason.rstrip(".")) or "no reason given"


def find_progress(config: Configuration) -> RegistrationProgress:
    rows = Registration.objects.newest_first()
    last = rows.first()
    # The column has no more characters.
    client_id = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")[:MAX_ID_CHARS]
    is_pending = bool(client_id) and last is not None and last.state == RegistrationState.PENDING
    in_use = rows.filter(client_id=client_id).first() if client_id else None
    missing = [name for name in CREDENTIAL_SETTINGS if not config.get_str(name)]
    kind, request_id = last.state.lower() if last else "unregistered", last and last.request_id
    if not missing:
        kind = "registered"
    elif waiting := find_waiting_credentials(config):
        kind, request_id = "saved", waiting.request_id
    elif client_id:
        kind = "incomplete"
    return RegistrationProgress(
        kind,
        last,
        in_use or (None if is_pending else last),
        last if is_pending else None,
        request_id or "",
        missing,
    )


def describe_missing_registration(config: Configuration) -> NotRegistered:
    """Return the error for a server without credentials: how far its last request has come."""
    progress = find_progress(config)
    are = "is" if len(progress.missing) == 1 else "are"
    texts = {
        "missing": f"{' and '.join(progress.missing)} {are}",
        "request": f"request {progress.request_id}",
        "reason": progress.reason,
        "home": config.home,
    }
    error = CredentialsIncomplete if progress.kind == "incomplete" else NotRegistered
    message, fix = (text.format_map(texts) for text in _TEXTS[progress.kind])
    return error(message, fix=fix)


_AGAIN = "Run `scaiwave sync register` to apply again with the same answers."
_TEXTS = {
    "saved": (
        "ScaiKey has approved {request}, and its credentials are saved but not configured.",
        "Run `scaiwave sync register` to configure them.",
    ),
    "incomplete": (
        "{missing} not set.",
        "Set it in the configuration file, or run `scaiwave sync register` to register again.",
    ),
    "unregistered": (
        "This server is not registered with ScaiKey.",
        "Run `scaiwave sync register`. If this server was registered before, check SCAIWAVE_HOME: "
        "it is {home}.",
    ),
    "pending": (
        "This server is not registered yet: waiting for approval of {request}.",
        "Approve {request} in ScaiKey, then run `scaiwave sync register`.",
    ),
    "rejected": (
        "This server is not registered: ScaiKey rejected {request}: {reason}.",
        f"Resolve the reason with a ScaiKey administrator. {_AGAIN}",
    ),
    "expired": ("This server is not registered: {request} has expired.", _AGAIN),
    "cancelled": ("This server is not registered: {request} was cancelled.", _AGAIN),
    "approved": (
        "This server was registered by {request}, but no credentials are configured.",
        "Restore the configuration file, or run `scaiwave sync register` to register again.",
    ),
}
