"""Errors about rooms, workspaces, bundles and the search index.

The errors of a bundle have the name of the entry in `details`, and for an event its number in the
manifest.
"""

from __future__ import annotations

from scaiwave.core.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    PermissionDenied,
    RefusedError,
    UsageError,
)

NOTHING_IMPORTED = "Nothing was imported."


class RoomNotFound(NotFoundError):
    """The tenant has no such room, or you may not see it."""

    code = "SW_ROOM_NOT_FOUND"
    FIX = "Run `scaiwave room list --tenant {}` to list the rooms of a tenant."
    fix = FIX.format("<slug>")


class WorkspaceNotFound(NotFoundError):
    """The tenant has no such workspace, or you may not see it."""

    code = "SW_WORKSPACE_NOT_FOUND"
    FIX = "Run `scaiwave room workspaces --tenant {}` to list the workspaces of a tenant."
    fix = FIX.format("<slug>")


class WorkspaceConflict(ConflictError):
    """The tenant has a workspace with this slug and another name."""

    code = "SW_WORKSPACE_CONFLICT"
    fix = "Choose another slug, or pass that name."


class RoomClosed(RefusedError):
    """The room is closed, which only the platform does; it can't be archived or reopened."""

    code = "SW_ROOM_CLOSED"
    fix = "To continue the conversation, export the room and import it as a new one."


class RoomNotArchived(RefusedError):
    """An open room can't be deleted, so that no one is writing in it."""

    code = "SW_ROOM_NOT_ARCHIVED"
    fix = "Run `scaiwave room archive` first, or add --archive."


class RoomBeingPurged(RefusedError):
    """The grace period of the deleted room has ended and its rows are being deleted, so it can't
    be brought back."""

    code = "SW_ROOM_BEING_PURGED"
    fix = "Restore a backup on another server, export the room there, and import it here."


class FileNotInRoom(NotFoundError):
    """The room has no such file, or its bytes are already deleted."""

    code = "SW_ROOM_FILE_NOT_FOUND"
    fix = "Run `scaiwave room media list` to see the files of a room with their IDs."


class WorkspaceForbidden(PermissionDenied):
    """The participant of an import is not an active owner or editor of the workspace."""

    code = "SW_WORKSPACE_FORBIDDEN"
    # Other denials exit with 3. Here the operator is allowed, but the participant of --as is not.
    exit_code = 1
    fix = "Run `scaiwave room workspaces --tenant <slug>` to list owners and editors."


class NotMember(PermissionDenied):
    """The participant who requests an export over HTTP has not joined the room."""

    code = "SW_NOT_MEMBER"
    remedy = "Join the room, or ask an operator for the export."


class ExportRefused(RefusedError):
    """Sidekick, bridge, incognito and federated rooms can't be exported."""

    code = "SW_ROOM_EXPORT_REFUSED"
    remedy = "Run `scaiwave room list` to see which rooms can be exported."


class ExportDamaged(DomainError):
    """Some content of the room could not be read. The bundle is incomplete and not usable."""

    code = "SW_ROOM_EXPORT_DAMAGED"
    remedy = (
        "Restore the attachment that the error names from a backup of the media store, or pass "
        "`--no-media`."
    )


class TranscriptTooLarge(RefusedError):
    """The room has more events or attachments than one HTML file can show."""

    code = "SW_TRANSCRIPT_TOO_LARGE"
    fix = "Leave out --single-file, or choose a period with --since and --until."


class ExportReaderClosed(DomainError):
    """The reader of the bundle closed the pipe before the export finished."""

    code = "SW_ROOM_EXPORT_UNREAD"
    fix = "Run the same command again with a reader that reads to the end."


class ExportChainFull(ConflictError):
    """The next increment of a chain of bundles would exceed a limit, so no one could read it."""

    code = "SW_ROOM_EXPORT_CHAIN_FULL"
    fix = "Export the whole room again, and begin a new chain with that bundle."


class ExportBaseUnknown(ConflictError):
    """This server does not know the bundle since which an increment was requested.

    It knows the last bundles of each room that were downloaded from it with `increments=1`.
    """

    code = "SW_ROOM_EXPORT_BASE_UNKNOWN"
    fix = (
        "Export the whole room again, with `increments=1`, and begin a new chain with that bundle."
    )


class ExportIncomplete(DomainError):
    """Some of several rooms could not be exported; the others were."""

    code = "SW_ROOM_EXPORT_INCOMPLETE"
    fix = "Fix the reasons in the list, then run the same command again; it keeps complete bundles."


class ExportRunning(ConflictError):
    """Another `room export` is writing to the same directory, or to the same chain of bundles."""

    code = "SW_ROOM_EXPORT_RUNNING"
    fix = "Wait until the other export has ended, or pass another directory."


class ImportRefused(RefusedError):
    """A complete bundle that must not be imported.

    The reason is its room type, its signature, an inactive tenant, or a file that was changed while
    it was read.
    """

    code = "SW_ROOM_IMPORT_REFUSED"
    remedy = (
        "Nothing was imported. Follow the advice of the error; see "
        "[When it is refused](rooms.md#when-an-export-or-import-is-refused)."
    )


class ImportRunning(ConflictError):
    """With `--once`: another import of the same bundle is in progress."""

    code = "SW_ROOM_IMPORT_RUNNING"
    fix = "Wait until the other import has ended, then run this again."


class ContentTooLarge(RefusedError):
    """An event in the bundle has more content than the platform stores (64 KiB)."""

    code = "SW_CONTENT_TOO_LARGE"
    http_status = 413
    remedy = "Nothing was imported. Get a bundle that was exported by a ScaiWave server."


class TenantQuotaExceeded(ConflictError):
    """The room would exceed the tenant's limit for rooms or storage."""

    code = "SW_TENANT_CAPACITY"
    remedy = "Raise the limit with `scaiwave admin update-tenant <slug>`, or free space."


class BundleError(RefusedError):
    """The bundle is not valid.

    `advice` is the fix for commands that import nothing anyway.
    """

    advice = "Export the room again, and transfer the file unchanged."
    fix = f"{NOTHING_IMPORTED} {advice}"

    def __init_subclass__(cls) -> None:
        cls.fix = f"{NOTHING_IMPORTED} {cls.advice}"


class BundleNotZip(BundleError):
    """The file is not a ZIP file, or an incomplete one."""

    code = "SW_BUNDLE_NOT_ZIP"
    advice = (
        "Is this the right file? If so, export the room again, and transfer the file unchanged."
    )


class BundleTooLarge(BundleError):
    """The bundle exceeds the import limit: compressed, decompressed, or in number of entries."""

    code = "SW_BUNDLE_TOO_LARGE"
    http_status = 413
    advice = "If you expect a bundle of this size, raise SCAIWAVE_IMPORT_LIMIT_MB."


class DecompressionBomb(BundleError):
    """The bundle decompresses to far more than its size, or its entries overlap."""

    code = "SW_BUNDLE_BOMB"


class BundleBadName(BundleError):
    """An entry does not belong in a bundle, or its name could lead out of a directory."""

    code = "SW_BUNDLE_BAD_NAME"


class BundleDuplicate(BundleError):
    """Two entries have the same name, or names that differ only in case."""

    code = "SW_BUNDLE_DUPLICATE_NAME"


class BundleEncrypted(BundleError):
    """An entry of the ZIP file is encrypted; bundles never are."""

    code = "SW_BUNDLE_ENCRYPTED"


class BundleDamaged(BundleError):
    """A checksum, hash, size or count does not match."""

    code = "SW_BUNDLE_DAMAGED"


class BundleBadManifest(BundleError):
    """The manifest is not JSON, or does not match the format."""

    code = "SW_BUNDLE_BAD_MANIFEST"


class BundleVersion(BundleError):
    """The bundle has a version of the format that this release can't read."""

    code = "SW_BUNDLE_VERSION"
    advice = "Upgrade this server, or export the room with a release that writes version 1."


class BundleOutOfOrder(BundleError):
    """The events of the manifest are not in stream order."""

    code = "SW_BUNDLE_OUT_OF_ORDER"


class DanglingReference(BundleError):
    """An event refers to an event that is not in the bundle."""

    code = "SW_BUNDLE_DANGLING_REFERENCE"
    advice = "Pass --cut-references to import it without such references."


class SourceUnreadable(DomainError):
    """The file or directory is not an export of that system, or it is damaged."""

    code = "SW_ROOM_SOURCE_UNREADABLE"
    fix = "Name the ZIP file, the JSON file or the directory of the export."


class SourceRefused(RefusedError):
    """The archive could harm this server: it is encrypted, has overlapping entries, or
    decompresses to far more than its size."""

    code = "SW_ROOM_SOURCE_REFUSED"
    fix = "Get the export again from the system that made it, and transfer the file unchanged."


class ConversionRunning(ConflictError):
    """Another `room convert` is writing to the same directory."""

    code = "SW_ROOM_CONVERSION_RUNNING"
    fix = "Wait until the other conversion has ended, or pass another directory."


class ConversionIncomplete(DomainError):
    """The numbers of rows that were read and written differ, which is a defect of the suite."""

    code = "SW_ROOM_CONVERSION_INCOMPLETE"
    fix = "Don't import the bundles. Report this error with the file that it names."


class BundleChainGap(BundleError):
    """An increment of a chain of bundles is missing; the error lists the missing numbers."""

    code = "SW_BUNDLE_CHAIN_GAP"
    advice = "Pass the missing bundles too, or start a new chain with a whole bundle."


class BundleChainOther(BundleError):
    """A bundle belongs to another chain: another base, another room, or another bundle before
    it."""

    code = "SW_BUNDLE_CHAIN_OTHER"
    advice = "Pass a whole bundle and the increments that were exported since, of one room."


class BundleChainPartial(BundleError):
    """The base of a chain contains a period; a chain is of a whole room."""

    code = "SW_BUNDLE_CHAIN_PARTIAL"
    advice = "Export the room without --since and --until, and begin the chain with that bundle."


class ImportLocalChanges(ConflictError):
    """An increment changes events that were edited here."""

    code = "SW_IMPORT_LOCAL_CHANGES"
    fix = (
        f"{NOTHING_IMPORTED} Pass --keep-local to keep the text of this server, or --take-theirs "
        "to replace it."
    )


class BundleNotVerified(DomainError):
    """`room verify` read the bundle to its end and found problems, or a wrong signature.

    Each problem is listed before the error.
    """

    code = "SW_BUNDLE_NOT_VERIFIED"
    fix = "Do not import it. Export the room again, and transfer the file unchanged."


class TenantExportDamaged(RefusedError):
    """The export of a tenant is not as its server wrote it, or its parts contradict each other."""

    code = "SW_TENANT_EXPORT_DAMAGED"
    fix = "Get the directory again from the server that wrote it, unchanged."


class TenantExportUntrusted(RefusedError):
    """A tenant's export has no valid signature from a known key, or names another server."""

    code = "SW_TENANT_EXPORT_UNTRUSTED"
    fix = (
        "If you trust the server, pass its key with --key, or its descriptor with --descriptor: "
        "`scaiwave admin federation descriptor` on that server shows both."
    )


class TenantExportBusy(ConflictError):
    """Someone wrote in a tenant after it was frozen for its export, or imports a room into it."""

    code = "SW_TENANT_EXPORT_BUSY"
    fix = "Run the same command again once the platform's servers refuse the tenant's people."


class TenantImportRefused(RefusedError):
    """The tenant of an export can't be imported under this slug."""

    code = "SW_TENANT_IMPORT_REFUSED"
    remedy = (
        "Nothing was imported. Follow the advice of the error; see [Move a tenant to another "
        "server](../how-to/tenant-move.md)."
    )


class TenantImportPeople(RefusedError):
    """People of an export could be mistaken for people of this server."""

    code = "SW_TENANT_IMPORT_PEOPLE"
    fix = (
        "Nothing was imported. Name in a file for --people who they are in the tenant here; an "
        "address in another tenant must be changed on the old server first."
    )


class TenantImportRunning(ConflictError):
    """Another import of a tenant under this slug is in progress."""

    code = "SW_TENANT_IMPORT_RUNNING"
    fix = "Wait until it has ended, then run the same command again."


class MediaFilesMissing(DomainError):
    """The media store, or the export of a tenant, lacks files or has them with other bytes."""

    code = "SW_MEDIA_FILES_MISSING"
    fix = (
        "Restore them from a backup of the media store, then run `scaiwave doctor --media`. Remove "
        "a file that is lost for good with `scaiwave room media remove`."
    )


class TenantDiffers(DomainError):
    """A tenant is not as it was exported."""

    code = "SW_TENANT_DIFFERS"
    fix = (
        "If the tenant is the exported one, export it again with --incremental. If it is an import "
        "that is not open yet, delete it with `scaiwave admin import-tenant` --abort, and import "
        "again. If it is open, people may have written since, as the list shows."
    )


class TenantNotSuspended(RefusedError):
    """A tenant is erased only some days after it was suspended manually."""

    code = "SW_TENANT_NOT_SUSPENDED"
    fix = "Suspend it, and wait SCAIWAVE_ERASE_AFTER_DAYS."


class TenantInScaiKey(RefusedError):
    """ScaiKey still has a tenant that is to be erased, so a sync would bring it back."""

    code = "SW_TENANT_IN_SCAIKEY"
    fix = "Delete it in ScaiKey and run `scaiwave sync`, or run `scaiwave admin unlink-tenant`."


class TenantBusy(ConflictError):
    """An import, export, backfill or erasure of the tenant is in progress or was interrupted."""

    code = "SW_TENANT_BUSY"
    fix = "Follow the advice of the error, then run the same command again."


class TenantReferenced(RefusedError):
    """Rows of other tenants refer to a tenant that is to be deleted, or it has their members."""

    code = "SW_TENANT_REFERENCED"
    fix = "Nothing was changed. Remove its people from rooms of other tenants first."


class TenantExportOutdated(RefusedError):
    """The export of a tenant that is to be erased is not equal to the tenant as it is now."""

    code = "SW_TENANT_EXPORT_OUTDATED"
    fix = "Run `scaiwave admin export-tenant` with --incremental, then make the plan again."


class ErasurePlanInvalid(RefusedError):
    """The file is not a plan of this server for the erasure, or is older than 24 hours."""

    code = "SW_ERASURE_PLAN_INVALID"
    fix = "Nothing was changed. Make a new plan: `scaiwave admin erase-tenant` with --plan."


class ErasurePlanChanged(ConflictError):
    """The tenant is no longer as the plan of its erasure says."""

    code = "SW_ERASURE_PLAN_CHANGED"
    fix = "Nothing was changed. Make a new plan with --plan, and review it."


class TenantRowsLeft(ConflictError):
    """After the phases of an erasure, something of the tenant was found again."""

    code = "SW_TENANT_ROWS_LEFT"
    fix = "Stop what still writes it, then run the same command again; it continues."


class CertificateInvalid(RefusedError):
    """The file is not a certificate, or was not signed by a known server as it is."""

    code = "SW_ERASURE_CERTIFICATE_INVALID"
    fix = "Get the certificate again from the server that wrote it, unchanged."


class SearchEmpty(UsageError):
    """The search contains no word."""

    code = "SW_SEARCH_EMPTY"
    fix = "Pass at least one word of letters or digits."


class SearchNotIndexed(DomainError):
    """No message that the search covers is in the search index."""

    code = "SW_SEARCH_NOT_INDEXED"
    remedy = "[Fill the index](search.md#filling-the-index) with the command that the error names."


class SearchTooLong(UsageError):
    """The search contains too many words."""

    code = "SW_SEARCH_TOO_LONG"
    fix = "Search for fewer words; a message must contain all of them."


class QueueUnavailable(ConfigurationError):
    """No job queue is configured or available, so the work can't be handed to a worker."""

    code = "SW_QUEUE_UNAVAILABLE"
    fix = "Pass --inline to do it in this process, or set SCAIWAVE_REDIS_URL and start a worker."


class SearchIndexMismatch(DomainError):
    """A backfill has completed, but the index still does not match the stored events."""

    code = "SW_SEARCH_INDEX_MISMATCH"
    fix = "Run it again; if the mismatch remains, run it once with --restart."


class BackfillSuperseded(ConflictError):
    """Another process restarted this backfill."""

    code = "SW_SEARCH_BACKFILL_GIVEN_UP"
    fix = "Run it again without --restart to help with the run that was started."


class MessageLimitReached(DomainError):
    """An account has read too many pages of messages in a short time."""

    code = "SW_ROOM_MESSAGE_LIMIT"
    http_status = 429
    fix = "Wait ten minutes. `scaiwave room export` is the way to hand over a whole room."


class ReasonMissing(UsageError):
    """Messages of a room are read only for a reason, which is recorded."""

    code = "SW_ROOM_REASON_MISSING"
    fix = "Enter the reason, such as the number of a ticket."


class RetentionRunning(ConflictError):
    """Another retention run has not ended yet. Each deletes everything due: one is enough."""

    code = "SW_RETENTION_RUNNING"
    fix = "Wait for it to end; it does the same."
