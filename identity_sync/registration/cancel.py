"""Withdraw a request that ScaiKey has not decided on yet."""

from __future__ import annotations

from datetime import datetime

from identity_sync.errors import NoPendingRegistration, ReceiptUnreadable, RegistrationConflict
from identity_sync.models import RegistrationState
from identity_sync.registration.answers import RegistrationContext
from identity_sync.registration.credentials import (
    delete_pending,
    load_pending,
    replaces_other_credentials,
)
from identity_sync.registration.receipt import PendingRegistration, registration_lock
from identity_sync.registration.record import record_state
from scaiwave.clients.errors import UpstreamConflict
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.core.errors import UpstreamForbidden, UpstreamNotFound, UpstreamUnauthorized
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.restoration import require_activated

_UNKNOWN_TO_SCAIKEY = (UpstreamNotFound, UpstreamForbidden, UpstreamUnauthorized)


def cancel_registration(
    *, operator: Operator, config: Configuration, now: datetime, dry_run: bool = False
) -> PendingRegistration:
    """Cancel the pending request of this home directory, here and in ScaiKey, and return it.

    Credentials that are saved but not configured are discarded if others are configured. Raises
    `NoPendingRegistration`, `RegistrationConflict` if it is approved or rejected, and
    `ServerRestored`.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    with registration_lock(config.home):
        receipt = load_pending(config)
        if receipt is None:
            raise NoPendingRegistration(f"No registration request is pending in {config.home}.")
        _ensure_not_needed(config, receipt)
        if not dry_run:
            if receipt.credentials is None:
                _cancel_at_scaikey(receipt)
            _discard(operator, config, receipt, now)
        return receipt


def discard_pending(context: RegistrationContext, *, dry_run: bool) -> bool:
    """Discard a pending request so that a new one can be sent; return whether there was one.

    A request that ScaiKey has decided on, or does not know, is discarded too. Raises
    `RegistrationConflict` if its credentials are saved here and no others are configured.
    """
    config, log = context.config, context.console.log
    try:
        receipt = load_pending(config)
    except ReceiptUnreadable as error:
        if not dry_run:
            log(f"{error.message} It is discarded.")
            delete_pending(config, None)
        return True
    if receipt is None:
        return False
    _ensure_not_needed(config, receipt)
    if dry_run:
        return True
    if receipt.credentials is not None:
        application = receipt.credentials.application_id or receipt.credentials.client_id
        log(f"Its credentials are discarded. Remove application {application} in ScaiKey.")
    else:
        try:
            _cancel_at_scaikey(receipt)
        except RegistrationConflict as error:
            log(f"{error.message} The result is discarded.")
    _discard(context.operator, config, receipt, context.clock())
    return True


def _ensure_not_needed(config: Configuration, receipt: PendingRegistration) -> None:
    """Refuse to discard the only credentials of this server, which ScaiKey hands out once."""
    credentials = receipt.credentials
    if credentials and not replaces_other_credentials(config, receipt, credentials):
        raise RegistrationConflict(
            f"ScaiKey has approved request {receipt.request_id}, and its credentials are saved in "
            f"{config.home}.",
            fix="Run `scaiwave sync register` to configure them.",
        )


def _cancel_at_scaikey(receipt: PendingRegistration) -> None:
    try:
        with ScaiKeyClient(receipt.url) as client:
            client.cancel_registration(receipt.request_id, receipt.status_token)
    except UpstreamConflict:
        problem = RegistrationConflict(
            f"Request {receipt.request_id} has already been approved or rejected in ScaiKey.",
            fix="Run `scaiwave sync register` to get the result.",
        )
    except _UNKNOWN_TO_SCAIKEY:
        return  # ScaiKey no longer has it, which is the intended state.
    else:
        return
    raise problem


def _discard(
    operator: Operator, config: Configuration, receipt: PendingRegistration, now: datetime
) -> None:
    record_state(operator=operator, receipt=receipt, state=RegistrationState.CANCELLED, now=now)
    delete_pending(config, receipt)
