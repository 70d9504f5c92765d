"""Ask ScaiKey for the decision on a request, once or until there is one."""

from __future__ import annotations

import time

from identity_sync.errors import (
    CredentialsLost,
    CredentialsUnreadable,
    RegistrationClosed,
    RegistrationPending,
    RegistrationRejected,
)
from identity_sync.models import RegistrationState
from identity_sync.registration.answers import RegistrationContext
from identity_sync.registration.credentials import (
    block_signals,
    check_writable,
    delete_pending,
    save_credentials,
)
from identity_sync.registration.receipt import PendingRegistration, open_response_file
from identity_sync.registration.record import record_state
from identity_sync.registration.response_file import ResponseFile
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import RegistrationStatus
from scaiwave.core.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    UpstreamUnreachable,
)

POLL_SECONDS = 3.0
PROGRESS_SECONDS = 30.0


def await_decision(
    context: RegistrationContext, receipt: PendingRegistration
) -> PendingRegistration:
    """Return the receipt with its credentials, which are on disk; unchanged if still pending.

    Raises `RegistrationRejected`, `RegistrationClosed`, `CredentialsLost`,
    `RegistrationPending`, `DiskFull` or `FileUnwritable` (before ScaiKey is asked), what
    `save_credentials` raises, and errors of the client.
    """
    started_at, logged_at = time.monotonic(), float("-inf")
    with (
        ScaiKeyClient(receipt.url) as client,
        open_response_file(context.config.home, receipt) as response_file,
    ):
        while True:
            approved = _poll(context, client, receipt, response_file)
            if approved is not None or context.wait_seconds is None:
                return approved or receipt
            elapsed = time.monotonic() - started_at
            if elapsed >= context.wait_seconds:
                raise RegistrationPending(
                    f"Request {receipt.request_id} was not approved or rejected within "
                    f"{context.wait_seconds:g} s."
                )
            if elapsed - logged_at >= PROGRESS_SECONDS:
                logged_at = elapsed
                context.console.log(f"Waiting for approval in ScaiKey ({elapsed:.0f} s) …")
            time.sleep(min(POLL_SECONDS, context.wait_seconds - elapsed))


def _poll(
    context: RegistrationContext,
    client: ScaiKeyClient,
    receipt: PendingRegistration,
    response_file: ResponseFile,
) -> PendingRegistration | None:
    """Return the receipt with credentials, or None while the request is pending."""
    check_writable(context.config)
    try:
        with block_signals():
            status = client.registration_status(
                receipt.request_id, receipt.status_token, recorder=response_file.recorder
            )
            # A response before a retry may have had them.
            credentials = status.credentials or response_file.credentials()
            if credentials is not None:
                return save_credentials(context.config, receipt, credentials, response_file)
    except (UpstreamUnreachable, UpstreamUnavailable) as error:
        if context.wait_seconds is None:
            raise
        context.console.log(f"{error.message} Still waiting.")
        return None
    except UpstreamInvalidResponse as error:
        _ensure_readable(receipt, response_file, error.message)
        raise
    except (UpstreamNotFound, UpstreamForbidden, UpstreamUnauthorized) as error:
        error.fix = (
            "Run `scaiwave sync register --restart` to discard this request and start again."
        )
        raise
    if status.status == RegistrationState.PENDING:
        return None
    if status.status == RegistrationState.APPROVED:
        _ensure_readable(receipt, response_file, "Its form is not documented.")
    else:
        response_file.discard_copy()
    raise _record_outcome(context, receipt, status)


def _ensure_readable(
    receipt: PendingRegistration, response_file: ResponseFile, reason: str
) -> None:
    """Raises `CredentialsUnreadable` if there is a response that may have the credentials."""
    if path := response_file.copy_unreadable():
        raise CredentialsUnreadable(
            f"A response of ScaiKey about request {receipt.request_id} can't be read, and may "
            f"have the credentials, which are sent only once. {reason} It is saved in {path}.",
        ) from None


def _record_outcome(
    context: RegistrationContext, receipt: PendingRegistration, status: RegistrationStatus
) -> ScaiWaveError:
    """Record that the request has ended without credentials, and return the error for it."""
    if status.status not in RegistrationState.values:
        return UpstreamInvalidResponse(
            f"ScaiKey returned an undocumented state for request {receipt.request_id}; the "
            "request is kept.",
            fix="Update this suite, or ask a ScaiKey administrator about the request.",
        )
    reason = status.rejection_reason or ""
    record_state(
        operator=context.operator,
        receipt=receipt,
        state=RegistrationState(status.status),
        now=context.clock(),
        reason=reason,
    )
    delete_pending(context.config, receipt)
    match status.status:
        case RegistrationState.APPROVED:
            return CredentialsLost(
                f"ScaiKey has approved request {receipt.request_id}, but its credentials were "
                f"already fetched and are not in {context.config.home}."
            )
        case RegistrationState.REJECTED:
            return RegistrationRejected(
                f"ScaiKey rejected request {receipt.request_id}: "
                f"{reason.rstrip('.') or 'no reason given'}."
            )
        case RegistrationState.EXPIRED:
            return RegistrationClosed(f"Request {receipt.request_id} has expired in ScaiKey.")
        case _:
            return RegistrationClosed(f"Request {receipt.request_id} was cancelled in ScaiKey.")
