"""What can go wrong with a sync."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaiwave.errors import ConflictError, DomainError, NotFoundError, RefusedError, UpstreamError

if TYPE_CHECKING:
    from identity_sync.report import SyncReport


class SyncLocked(ConflictError):
    code = "SW_SYNC_LOCKED"
    fix = "Wait for it to end; `scaiwave sync status` shows the run."


class SyncOvertaken(ConflictError):
    """The database refused what was planned a moment before."""

    code = "SW_SYNC_OVERTAKEN"
    fix = "Run `scaiwave sync` again; if it stays so, report this as a defect."


class SyncTruncated(UpstreamError):
    """ScaiKey said how much there is and handed out less, twice."""

    code = "SW_SYNC_TRUNCATED"


class SyncStopped(RefusedError):
    """A run that ended short of what it planned; carries its report for those who show it."""

    outcome: ClassVar[str] = "refused"

    def __init__(self, message: str, *, report: SyncReport, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.report = report


class SyncBraked(SyncStopped):
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
