"""Asks ScaiKey what has become of a request, once or until somebody has decided."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from identity_sync.errors import (
    CredentialsLost,
    RegistrationClosed,
    RegistrationPending,
    RegistrationRejected,
)
from identity_sync.models import RegistrationState
from identity_sync.services.registration.credentials import (
    block_signals,
    check_writable,
    delete_pending,
    save_credentials,
)
from identity_sync.services.registration.receipt import (
    PendingRegistration,
    open_response_file,
)
from identity_sync.services.registration.response_file import ResponseFile
from identity_sync.services.registration_rows import record_state
from scaiwave.auth.operators import Operator
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import RegistrationStatus
from scaiwave.config import Configuration
from scaiwave.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    UpstreamUnreachable,
)

POLL_SECONDS = 3.0
SAY_SECONDS = 30.0

_AGAIN = "Run `scaiwave sync register` to begin again."


@dataclass(frozen=True, kw_only=True)
class RegistrationPoller:
    """One request being asked after; `wait` is in seconds, None asks once."""

    operator: Operator
    config: Configuration
    say: Callable[[str], None]
    clock: Callable[[], datetime]
    wait: float | None = None

    def await_decision(self, receipt: PendingRegistration) -> PendingRegistration:
        """The receipt with its credentials, which are on disk; unchanged if still pending.

        Raises `RegistrationRejected`, `RegistrationClosed`, `CredentialsLost`,
        `RegistrationPending`, `DiskFull` or `FileUnwritable` (before ScaiKey is asked), and what
        the client raises.
        """
        began, said = time.monotonic(), float("-inf")
        with (
            ScaiKeyClient(receipt.url) as client,
            open_response_file(self.config.home, receipt) as response_file,
        ):
            while True:
                kept = self._ask(client, receipt, response_file)
                if kept is not None or self.wait is None:
                    return kept or receipt
                passed = time.monotonic() - began
                if passed >= self.wait:
                    raise self._still_pending(receipt)
                if passed - said >= SAY_SECONDS:
                    said = passed
                    self.say(f"Waiting for approval in ScaiKey ({passed:.0f} s) …")
                time.sleep(min(POLL_SECONDS, self.wait - passed))

    def _ask(
        self, client: ScaiKeyClient, receipt: PendingRegistration, response_file: ResponseFile
    ) -> PendingRegistration | None:
        """The receipt with credentials, or None while nobody has decided."""
        check_writable(self.config)
        try:
            with block_signals():
                status = client.registration_status(
                    receipt.request_id, receipt.status_token, recorder=response_file.recorder
                )
                # A response before a retry may have had them.
                credentials = status.credentials or response_file.credentials()
                if credentials is not None:
                    return save_credentials(self.config, receipt, credentials, response_file)
        except (UpstreamUnreachable, UpstreamUnavailable) as error:
            if self.wait is None:
                raise
            self.say(f"{error.message} Still waiting.")
            return None
        except (UpstreamNotFound, UpstreamForbidden, UpstreamUnauthorized) as error:
            error.fix = "`scaiwave sync register --restart` drops this request and begins again."
            raise
        if status.status == RegistrationState.PENDING:
            return None
        raise self._close(receipt, status)

    def _close(self, receipt: PendingRegistration, status: RegistrationStatus) -> ScaiWaveError:
        """Write down that it is over, and return the error that says so."""
        if status.status not in RegistrationState.values:
            return UpstreamInvalidResponse(
                f"ScaiKey says that request {receipt.request_id} is in a state that it does "
                "not document.",
                fix="Update this suite, or ask who runs ScaiKey; the request is kept.",
            )
        reason = status.rejection_reason or ""
        record_state(
            operator=self.operator,
            receipt=receipt,
            state=RegistrationState(status.status),
            now=self.clock(),
            reason=reason,
        )
        delete_pending(self.config, receipt)
        return _ending(receipt, status.status, reason)

    def _still_pending(self, receipt: PendingRegistration) -> RegistrationPending:
        return RegistrationPending(
            f"Nobody has decided on request {receipt.request_id} within {self.wait:g} s.",
            fix="Approve it in ScaiKey, then run `scaiwave sync register` again.",
        )


def _ending(receipt: PendingRegistration, state: str, reason: str) -> ScaiWaveError:
    request = f"request {receipt.request_id}"
    match state:
        case RegistrationState.APPROVED:
            return CredentialsLost(
                f"ScaiKey has approved {request}, but its credentials were fetched before and "
                "are not in this home.",
                fix="Look for them where they were fetched to, or remove the application in "
                f"ScaiKey. {_AGAIN}",
            )
        case RegistrationState.REJECTED:
            return RegistrationRejected(
                f"ScaiKey has rejected {request}: {reason.rstrip('.') or 'no reason given'}.",
                fix=f"Settle that with who runs ScaiKey. {_AGAIN}",
            )
        case RegistrationState.EXPIRED:
            return RegistrationClosed(f"ScaiKey has let {request} expire.", fix=_AGAIN)
        case _:
            return RegistrationClosed(f"ScaiKey has cancelled {request}.", fix=_AGAIN)
