"""What can go wrong with rooms, workspaces and bundles.

A bundle that is no good is refused by what is wrong with it; its errors carry the name of the
entry, and for an event its number in the manifest, in `details`.
"""

from __future__ import annotations

from scaiwave.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    PermissionDenied,
    RefusedError,
    UsageError,
)

NOTHING_DONE = "Nothing was imported."


class RoomNotFound(NotFoundError):
    code = "SW_ROOM_NOT_FOUND"
    fix = "`scaiwave room list --tenant <slug>` shows the rooms of a tenant."


class WorkspaceNotFound(NotFoundError):
    code = "SW_WORKSPACE_NOT_FOUND"
    fix = "`scaiwave room workspaces --tenant <slug>` shows the workspaces of a tenant."


class WorkspaceForbidden(PermissionDenied):
    """Whoever imports must be owner or editor of the workspace, and active.

    Exit code 1: on the command line the operator is known and allowed; the participant isn't.
    """

    code = "SW_WORKSPACE_FORBIDDEN"
    exit_code = 1
    fix = "`scaiwave room workspaces --tenant <slug>` shows who owns a workspace or may edit it."


class NotMember(PermissionDenied):
    code = "SW_NOT_MEMBER"


class ExportRefused(RefusedError):
    """Sidekick, bridge, incognito and federated rooms stay where they are."""

    code = "SW_ROOM_EXPORT_REFUSED"


class ExportDamaged(DomainError):
    """Something that had to go into the bundle could not be read; no bundle was finished."""

    code = "SW_ROOM_EXPORT_DAMAGED"


class ExportReaderClosed(DomainError):
    """The reader of the bundle went away before it was whole."""

    code = "SW_ROOM_EXPORT_UNREAD"
    fix = "Nothing was lost here; run it again, into a reader that takes all of it."


class ExportIncomplete(DomainError):
    """Of several rooms, some could not be exported; the others were."""

    code = "SW_ROOM_EXPORT_INCOMPLETE"
    fix = "The summary says why; the same command again keeps what is there and makes the rest."


class ExportRunning(ConflictError):
    code = "SW_ROOM_EXPORT_RUNNING"
    fix = "Wait for it to end, or name another folder."


class ImportRefused(RefusedError):
    """A bundle that must not come in, whole though it may be: its type, its signature."""

    code = "SW_ROOM_IMPORT_REFUSED"


class ImportRunning(ConflictError):
    code = "SW_ROOM_IMPORT_RUNNING"
    fix = "Wait for the other import of this bundle, then run this again."


class ContentTooLarge(RefusedError):
    code = "SW_CONTENT_TOO_LARGE"
    http_status = 413


class TenantQuotaExceeded(ConflictError):
    code = "SW_TENANT_CAPACITY"


class BundleError(RefusedError):
    """The bundle is not what it should be."""

    fix = f"{NOTHING_DONE} Export the room again, and carry the file unchanged."


class BundleNotZip(BundleError):
    """No ZIP file, or one that ends too early."""

    code = "SW_BUNDLE_NOT_ZIP"


class BundleTooLarge(BundleError):
    code = "SW_BUNDLE_TOO_LARGE"
    http_status = 413
    fix = f"{NOTHING_DONE} If it is meant to be so large, raise SCAIWAVE_IMPORT_LIMIT_MB."


class DecompressionBomb(BundleError):
    """It unpacks to far more than it is, or its entries share their bytes."""

    code = "SW_BUNDLE_BOMB"


class BundleBadName(BundleError):
    """An entry that no bundle has, or whose name could lead out of a folder."""

    code = "SW_BUNDLE_BAD_NAME"


class BundleDuplicate(BundleError):
    """Two entries of one name, or names that differ in case alone."""

    code = "SW_BUNDLE_DUPLICATE_NAME"


class BundleEncrypted(BundleError):
    code = "SW_BUNDLE_ENCRYPTED"


class BundleDamaged(BundleError):
    """A checksum, a hash, a size or a count is not what it should be."""

    code = "SW_BUNDLE_DAMAGED"


class BundleBadManifest(BundleError):
    """The manifest is not JSON, or not JSON as the format wants it."""

    code = "SW_BUNDLE_BAD_MANIFEST"


class BundleVersion(BundleError):
    code = "SW_BUNDLE_VERSION"
    fix = f"{NOTHING_DONE} Export it with a release that writes version 1, or upgrade this one."


class BundleOutOfOrder(BundleError):
    code = "SW_BUNDLE_OUT_OF_ORDER"


class DanglingReference(BundleError):
    """An event refers to one that is not in the bundle."""

    code = "SW_BUNDLE_DANGLING_REFERENCE"
    fix = f"{NOTHING_DONE} Pass --cut-references to import it without such references."


class BundleNotVerified(DomainError):
    """The verdict of `room verify` on a bundle that could be looked at to its end."""

    code = "SW_BUNDLE_NOT_VERIFIED"
    fix = "Do not import it. Export the room again, and carry the file unchanged."


class SearchEmpty(UsageError):
    code = "SW_SEARCH_EMPTY"
    fix = "Name at least one word, of letters or digits."


class SearchTooLong(UsageError):
    code = "SW_SEARCH_TOO_LONG"
    fix = "Search for fewer words; every one of them must be in a message."


class QueueUnavailable(ConfigurationError):
    """There is no Redis to hand work to."""

    code = "SW_QUEUE_UNAVAILABLE"
    fix = "Pass --inline to do it here, or set SCAIWAVE_REDIS_URL and start a worker."


class SearchIndexMismatch(DomainError):
    """A backfill has come to its end, and the index is still not what the events are."""

    code = "SW_SEARCH_INDEX_MISMATCH"
    fix = "Run it again; if it stays so, run it once with --restart."


class BackfillSuperseded(ConflictError):
    code = "SW_SEARCH_BACKFILL_GIVEN_UP"
    fix = "Run it again without --restart: it helps with the run that was begun."
