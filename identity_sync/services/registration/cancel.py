"""Takes back a request that nobody has decided on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from identity_sync.errors import NoPendingRegistration, ReceiptUnreadable, RegistrationConflict
from identity_sync.models import RegistrationState
from identity_sync.services.registration.credentials import delete_pending, load_pending
from identity_sync.services.registration.receipt import (
    PendingRegistration,
    receipt_path,
    registration_lock,
)
from identity_sync.services.registration_rows import record_state
from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.errors import UpstreamConflict
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.errors import UpstreamForbidden, UpstreamNotFound, UpstreamUnauthorized

_UNKNOWN = (UpstreamNotFound, UpstreamForbidden, UpstreamUnauthorized)


def cancel_registration(
    *, operator: Operator, config: Configuration, now: datetime, dry_run: bool = False
) -> PendingRegistration:
    """Cancel the pending request of this home, here and in ScaiKey.

    Raises `NoPendingRegistration`, and `RegistrationConflict` when it has been decided already.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with registration_lock(config.home):
        receipt = load_pending(config)
        if receipt is None:
            raise NoPendingRegistration(
                "No request is pending in this home.",
                fix="`scaiwave sync register` makes one; `scaiwave sync status` shows the last.",
            )
        _refuse_with_credentials(config, receipt)
        if not dry_run:
            _cancel_there(receipt)
            _forget(operator, config, receipt, now)
        return receipt


def discard_pending(
    operator: Operator,
    config: Configuration,
    *,
    now: datetime,
    say: Callable[[str], None],
    dry_run: bool,
) -> bool:
    """Get a pending request out of the way of a new one; whether there was one.

    What ScaiKey has decided, or does not know, is dropped all the same.
    """
    try:
        receipt = load_pending(config)
    except ReceiptUnreadable as error:
        if not dry_run:
            say(f"{error.message} It is dropped.")
            delete_pending(config, None)
        return True
    if receipt is None:
        return False
    _refuse_with_credentials(config, receipt)
    if not dry_run:
        try:
            _cancel_there(receipt)
        except RegistrationConflict as error:
            say(f"{error.message} Its answer is given up.")
        _forget(operator, config, receipt, now)
    return True


def _refuse_with_credentials(config: Configuration, receipt: PendingRegistration) -> None:
    if receipt.credentials is not None:
        raise RegistrationConflict(
            f"ScaiKey has approved request {receipt.request_id}, and its credentials are in "
            f"{receipt_path(config.home)}.",
            fix="Run `scaiwave sync register` to configure them.",
        )


def _cancel_there(receipt: PendingRegistration) -> None:
    try:
        with ScaiKeyClient(receipt.url) as client:
            client.cancel_registration(receipt.request_id, receipt.status_token)
    except UpstreamConflict:
        problem = RegistrationConflict(
            f"Request {receipt.request_id} has been decided in ScaiKey.",
            fix="Run `scaiwave sync register` to see the decision.",
        )
    except _UNKNOWN:
        return  # ScaiKey no longer has it, which is what was wanted.
    else:
        return
    raise problem


def _forget(
    operator: Operator, config: Configuration, receipt: PendingRegistration, now: datetime
) -> None:
    record_state(operator=operator, receipt=receipt, state=RegistrationState.CANCELLED, now=now)
    delete_pending(config, receipt)
