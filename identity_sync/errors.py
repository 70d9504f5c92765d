"""What can go wrong with a sync."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaiwave.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    RefusedError,
    UpstreamError,
    UsageError,
)

if TYPE_CHECKING:
    from identity_sync.services.sync.report import SyncReport


class SyncLocked(ConflictError):
    code = "SW_SYNC_LOCKED"
    fix = "Wait for it to end; `scaiwave sync status` shows the run."


class SyncConflict(ConflictError):
    """The database refused what was planned a moment before."""

    code = "SW_SYNC_OVERTAKEN"
    fix = "Run `scaiwave sync` again; if it stays so, report this as a defect."


class IncompleteListing(UpstreamError):
    """ScaiKey said how much there is and handed out less, twice."""

    code = "SW_SYNC_TRUNCATED"


class SyncStopped(RefusedError):
    """A run that ended short of what it planned; carries its report for those who show it."""

    outcome: ClassVar[str] = "refused"

    def __init__(self, message: str, *, report: SyncReport, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.report = report


class RemovalLimitExceeded(SyncStopped):
    """More would be removed than the brake lets through; nothing was written."""

    code = "SW_SYNC_BRAKE"


class SyncCollectionEmpty(SyncStopped):
    """ScaiKey shows none of what we have some of; nothing was written."""

    code = "SW_SYNC_COLLECTION_EMPTY"


class SyncPartial(SyncStopped):
    """All but what was held back is applied."""

    code = "SW_SYNC_PARTIAL"
    outcome = "partial"


class TenantNotLinked(DomainError):
    code = "SW_TENANT_NOT_LINKED"


class TenantGone(NotFoundError):
    """The one tenant that was to be synced is not in ScaiKey."""

    code = "SW_SYNC_TENANT_GONE"
    fix = "A full `scaiwave sync` deactivates what is gone; nothing was changed now."


class InvalidAnswer(UsageError):
    """An answer to a prompt of `sync register`, or the value of its flag, is invalid."""

    code = "SW_REGISTRATION_BAD_ANSWER"
    remedy = "Pass the value in the form that the error shows."


class ValueUnwritable(ConfigurationError):
    """A value for the configuration file contains a line break or a control character."""

    code = "SW_VALUE_UNWRITABLE"
    fix = "Correct the value at its source, or set it in the environment."


class ReceiptUnreadable(ConfigurationError):
    """The receipt of the pending request is damaged, or belongs to another user."""

    code = "SW_REGISTRATION_RECEIPT_UNREADABLE"
    fix = (
        "Run the command as the user who registered, or discard the receipt with "
        "`scaiwave sync register --restart`."
    )


class CredentialsNotInstalled(ConfigurationError):
    """The credentials are saved in the home directory, but the configuration file can't be written.

    The error names the file that has them.
    """

    code = "SW_CREDENTIALS_NOT_INSTALLED"
    fix = "Run `scaiwave sync register` again to continue."
    remedy = (
        "Correct what the error names, then run `scaiwave sync register` again: it continues "
        "without asking ScaiKey."
    )


class CredentialsSavedElsewhere(ConfigurationError):
    """The credentials could be saved only outside of the home directory."""

    code = "SW_CREDENTIALS_RESCUED"
    fix = (
        "Make the home directory writable, then run `scaiwave sync register` again: it uses that "
        "file."
    )
    remedy = (
        "Keep the file that the error names, make the home directory writable, and run `scaiwave "
        "sync register` again, with the same `TMPDIR`: it uses that file, then removes it. If they "
        "were printed to your terminal, copy those lines to the configuration file. ScaiKey does "
        "not hand them out again."
    )


class CredentialsLost(ConfigurationError):
    """ScaiKey hands out the credentials of a registration once, and they are not here."""

    code = "SW_CREDENTIALS_LOST"
    fix = "Remove the application in ScaiKey, then run `scaiwave sync register` to start again."
    remedy = (
        "Look where they were fetched to. If they are not there, remove the application in ScaiKey "
        "and run `scaiwave sync register --restart`."
    )


class InsecureAddress(RefusedError):
    """The ScaiKey URL begins with http://, so the client secret would be sent unencrypted."""

    code = "SW_REGISTRATION_INSECURE_ADDRESS"
    fix = "Use https://, or pass `--allow-http` if you trust the network between."


class RegistrationRejected(RefusedError):
    """A ScaiKey administrator rejected the request; the error has the reason."""

    code = "SW_REGISTRATION_REJECTED"
    fix = (
        "Resolve the reason with a ScaiKey administrator, then run `scaiwave sync register` to "
        "start again."
    )


class RegistrationClosed(RefusedError):
    """The request has expired or was cancelled in ScaiKey."""

    code = "SW_REGISTRATION_OVER"
    fix = "Run `scaiwave sync register` to start again."


class RegistrationBusy(ConflictError):
    """Another `scaiwave sync register` is running in this home directory."""

    code = "SW_REGISTRATION_BUSY"
    fix = "Wait until it has finished, or stop it; its progress is saved."


class RegistrationConflict(ConflictError):
    """This server is registered already, or another request is pending or decided."""

    code = "SW_REGISTRATION_CONFLICT"
    remedy = (
        "Pass the flag that the error names: `--force` replaces credentials, `--restart` discards "
        "a request."
    )


class RegistrationPending(ConflictError):
    """The request has not been approved or rejected yet."""

    code = "SW_REGISTRATION_PENDING"
    fix = "Approve the request in ScaiKey, then run `scaiwave sync register` again to continue."


class NoPendingRegistration(NotFoundError):
    """No request that could be cancelled is pending in this home directory."""

    code = "SW_REGISTRATION_NOT_FOUND"
    fix = "Run `scaiwave sync status` to see the last request."
