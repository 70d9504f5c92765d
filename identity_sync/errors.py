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
    """ScaiKey reported a total and returned fewer records, twice. No changes were made."""

    code = "SW_SYNC_TRUNCATED"


class UnusableRecords(UpstreamError):
    """Too many records of one list can't be used. No changes were made."""

    code = "SW_SYNC_UNUSABLE_RECORDS"


class SyncStopped(RefusedError):
    """A run that ended short of what it planned; carries its report for those who show it."""

    outcome: ClassVar[str] = "refused"

    def __init__(self, message: str, *, report: SyncReport, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.report = report


class RemovalLimitExceeded(SyncStopped):
    """More would lose access than the removal limit allows. No changes were made."""

    code = "SW_SYNC_REMOVAL_LIMIT"


class LastSuperAdminLost(SyncStopped):
    """The run would leave nobody who is super_admin. No changes were made."""

    code = "SW_SYNC_LAST_SUPER_ADMIN"


class SyncCollectionEmpty(SyncStopped):
    """ScaiKey returned nothing of a kind that exists here. No changes were made."""

    code = "SW_SYNC_COLLECTION_EMPTY"


class SyncPartial(SyncStopped):
    """The run was applied, except for what it skipped."""

    code = "SW_SYNC_PARTIAL"
    outcome = "partial"


class TenantNotLinked(DomainError):
    code = "SW_TENANT_NOT_LINKED"


class TenantGone(NotFoundError):
    """The one tenant that was to be synced is not in ScaiKey."""

    code = "SW_SYNC_TENANT_GONE"
    fix = "A full `scaiwave sync` deactivates what is gone; nothing was changed now."


class InvalidAnswer(UsageError):
    code = "SW_REGISTRATION_BAD_ANSWER"


class ValueUnwritable(ConfigurationError):
    code = "SW_VALUE_UNWRITABLE"


class ReceiptUnreadable(ConfigurationError):
    code = "SW_REGISTRATION_RECEIPT_UNREADABLE"


class CredentialsNotInstalled(ConfigurationError):
    code = "SW_CREDENTIALS_NOT_INSTALLED"


class CredentialsSavedElsewhere(ConfigurationError):
    code = "SW_CREDENTIALS_RESCUED"


class CredentialsLost(ConfigurationError):
    code = "SW_CREDENTIALS_LOST"


class InsecureAddress(RefusedError):
    code = "SW_REGISTRATION_INSECURE_ADDRESS"


class RegistrationRejected(RefusedError):
    code = "SW_REGISTRATION_REJECTED"


class RegistrationClosed(RefusedError):
    code = "SW_REGISTRATION_OVER"


class RegistrationBusy(ConflictError):
    code = "SW_REGISTRATION_BUSY"


class RegistrationConflict(ConflictError):
    code = "SW_REGISTRATION_CONFLICT"


class RegistrationPending(ConflictError):
    code = "SW_REGISTRATION_PENDING"


class NoPendingRegistration(NotFoundError):
    code = "SW_REGISTRATION_NOT_FOUND"
