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
    """Another sync is running, on this server or, with PostgreSQL, on another one."""

    code = "SW_SYNC_LOCKED"
    fix = "Wait for it to end; `scaiwave sync status` shows the run."


class SyncConflict(ConflictError):
    """Another process changed the same rows during the sync. No changes were made."""

    code = "SW_SYNC_OVERTAKEN"
    fix = "Run `scaiwave sync` again; if it fails again, report this as a defect."


class IncompleteListing(UpstreamError):
    """ScaiKey reported a total and returned fewer records, twice. No changes were made."""

    code = "SW_SYNC_TRUNCATED"
    remedy = "Run the same command again later; if it fails again, ask the operators of ScaiKey."


class UnusableRecords(UpstreamError):
    """More than 20 and 1 % of the records of a list can't be used. No changes were made."""

    code = "SW_SYNC_UNUSABLE_RECORDS"
    remedy = (
        "Check that `SCAIWAVE_SCAIKEY_URL` is ScaiKey's address; if it is, report the record that "
        "the error names to the operators of ScaiKey."
    )


class SyncStopped(RefusedError):
    """A run that ended short of what it planned; carries its report for those who show it."""

    outcome: ClassVar[str] = "refused"

    def __init__(self, message: str, *, report: SyncReport, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.report = report


class RemovalLimitExceeded(SyncStopped):
    """More would lose access than the removal limit allows. No changes were made."""

    code = "SW_SYNC_REMOVAL_LIMIT"
    remedy = (
        "See the plan with `scaiwave sync --dry-run -v 2`. If it is right, run it with the "
        "`--allow-removals N` that the error names; else ask the operators of ScaiKey. "
        "[The removal limit](sync.md#the-removal-limit)."
    )


class LastSuperAdminLost(SyncStopped):
    """The run would leave nobody who is super_admin. No changes were made."""

    code = "SW_SYNC_LAST_SUPER_ADMIN"
    remedy = (
        "Grant it to somebody who stays, or accept it with `scaiwave sync --allow-no-super-admin`."
    )


class SyncCollectionEmpty(SyncStopped):
    """ScaiKey returned nothing of a kind that exists here. No changes were made."""

    code = "SW_SYNC_COLLECTION_EMPTY"
    remedy = (
        "Check the scopes of this server's application in ScaiKey. If ScaiKey really has none, "
        "pass the flag that the error names."
    )


class SyncPartial(SyncStopped):
    """The run was applied, except for what it skipped: losses of a tenant over the removal limit,
    removals of a kind whose list is inconsistent, unusable records, tenants whose slug is taken.
    """

    code = "SW_SYNC_PARTIAL"
    outcome = "partial"
    remedy = "Do what the error says for each; `scaiwave sync --dry-run -v 2` shows what is left."


class RemovalsPostponed(RefusedError):
    """The same removals have been postponed for a day: ScaiKey's answers prove nothing."""

    code = "SW_SYNC_POSTPONED"
    fix = "Ask the operators of ScaiKey why these records can't be looked up."
    remedy = (
        "`scaiwave sync status` names the oldest. A look-up that answers with a 403, a redirect or "
        "an unreadable body proves nothing; ask the operators of ScaiKey. "
        "[What a sync proves](sync.md#what-a-sync-proves-before-it-removes)."
    )


class TenantNotLinked(DomainError):
    """The tenant of `sync --tenant` has no ScaiKey ID."""

    code = "SW_TENANT_NOT_LINKED"
    remedy = "Link it: `scaiwave admin link-tenant <slug> --scaikey-tenant-id <id>`."


class TenantGone(NotFoundError):
    """The tenant of `sync --tenant` is not in ScaiKey. No changes were made."""

    code = "SW_SYNC_TENANT_GONE"
    fix = "A full `scaiwave sync` deactivates what ScaiKey no longer has."


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
