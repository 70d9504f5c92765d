"""Errors of syncs, and of the registration with ScaiKey."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaiwave.core.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    RefusedError,
    UpstreamError,
    UsageError,
)
from scaiwave.core.limits import TimeLimitExceeded

if TYPE_CHECKING:
    from identity_sync.report import SyncReport


class SyncLocked(ConflictError):
    """Another sync is running, on this server or, with PostgreSQL, on another one."""

    code = "SW_SYNC_LOCKED"
    fix = "Wait for it to end; `scaiwave sync status` shows the run."
    remedy = (
        "Wait for it to end; `scaiwave sync status` shows the run. If its process hangs, end its "
        "session with `scaiwave sync unlock`. PostgreSQL ends the session of a lost host or of "
        "a connection that stalls within two minutes."
    )


class TenantErased(RefusedError):
    """The only tenant of a sync was erased on this server. No changes were made."""

    code = "SW_TENANT_ERASED"
    fix = "Delete the tenant in ScaiKey. To have it again, create and link a tenant for it."


class SyncNotUnlocked(ConflictError):
    """The session that has the lock of syncs could not be ended. No changes were made."""

    code = "SW_SYNC_NOT_UNLOCKED"
    fix = (
        "End the process on its host, with `kill` and its number. `scaiwave sync status` names it."
    )


class SyncTimedOut(TimeLimitExceeded):
    """The sync did not end within its limit. No changes were made."""

    code = "SW_SYNC_TIMEOUT"
    fix = "Run it again later, or with a longer `--timeout`."
    remedy = (
        "`scaiwave sync status` shows how long the last runs took. If the error names another "
        "session of the database, end that session; if another sync is running, wait for it. Else "
        "run it with a longer `--timeout`. The next scheduled sync has twice the time, unless "
        "SCAIWAVE_SYNC_TIMEOUT_SECONDS is set."
    )


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


class ListsUnreadable(UpstreamError):
    """ScaiKey returns too few of the lists of members: at least three, and more than
    `SCAIWAVE_SYNC_UNREADABLE_SHARE` of all, can't be read. No changes were made."""

    code = "SW_SYNC_LISTS_UNREADABLE"
    fix = "Run the same command again later; if it fails again, ask the operators of ScaiKey."


class SyncStopped(RefusedError):
    """All or part of a plan was not applied; the run adds its `report`.

    `losses` are the refused losses of access, if they differ from the ones of the report.

    `summary` is the message for the history: without the names of people, which would stay there.
    """

    outcome: ClassVar[str] = "refused"
    report: SyncReport

    def __init__(
        self,
        message: str,
        *,
        fix: str,
        losses: dict[str, int] | None = None,
        summary: str = "",
        command: str = "",
    ) -> None:
        super().__init__(message, fix=fix, command=command)
        self.losses = losses
        self.summary = summary or message


class RemovalLimitExceeded(SyncStopped):
    """A plan file has more losses of access than the removal limit allows. It was written; nothing
    else was changed.
    """

    code = "SW_SYNC_REMOVAL_LIMIT"
    remedy = (
        "Review the plan, then apply exactly its losses with `scaiwave sync --apply`. See "
        "[Applying a reviewed plan](../how-to/sync-changes.md#applying-a-reviewed-plan)."
    )


class SyncRequestInvalid(RefusedError):
    """The sync was not requested on this server, too long ago, or has run already."""

    code = "SW_SYNC_REQUEST_INVALID"
    fix = "Start another one in the admin site, or with `scaiwave sync`."


class SyncNotStarted(ConfigurationError):
    """This server could not queue a sync, or start a process for it."""

    code = "SW_SYNC_NOT_STARTED"
    fix = "Run it in a terminal: `scaiwave sync`."


class SyncPurgeLimitExceeded(SyncStopped):
    """More people are due for `sync --purge-after` than the limit allows.

    The sync is applied, and no one was purged.
    """

    code = "SW_SYNC_PURGE_LIMIT"
    remedy = (
        "Preview them with `scaiwave admin purge-participant --purge-after DAYS --dry-run`. If "
        "they are right, purge them with --limit, or allow the number with SCAIWAVE_PURGE_LIMIT."
    )


class LastSuperAdminLost(SyncStopped):
    """The run would leave no one with the role `super_admin`. No changes were made."""

    code = "SW_SYNC_LAST_SUPER_ADMIN"
    remedy = (
        "Grant the role to someone who remains, or accept it with `scaiwave sync "
        "--allow-no-super-admin`."
    )


class SyncCollectionEmpty(SyncStopped):
    """ScaiKey returned nothing of a kind that exists here. No changes were made."""

    code = "SW_SYNC_COLLECTION_EMPTY"
    remedy = (
        "Check the scopes of this server's application in ScaiKey. If ScaiKey really has none, "
        "write a plan with `scaiwave sync --plan plan.json`, and review and apply it."
    )


class SyncPartial(SyncStopped):
    """The run was applied, except for what it skipped: losses over the removal limit, which wait
    for a decision, removals of a kind whose list is inconsistent, lists of a group, tenant or
    partner that can't be read, unusable records, tenants whose slug is in use.
    """

    code = "SW_SYNC_PARTIAL"
    outcome = "partial"
    remedy = (
        "Follow the advice of the error; `scaiwave sync --dry-run -v 2` shows what still differs."
    )


class SyncPlanInvalid(RefusedError):
    """The file is not a plan of this server: it was cut off, changed, or made by another server or
    release, for another database, ScaiKey or tenant. No changes were made.
    """

    code = "SW_SYNC_PLAN_INVALID"
    fix = "Make a new plan with `scaiwave sync --plan`, and apply it as it was written."


class SyncPlanExpired(RefusedError):
    """The plan is more than 24 hours old. No changes were made."""

    code = "SW_SYNC_PLAN_EXPIRED"
    fix = "Make a new plan with `scaiwave sync --plan`, and review it."


class SyncPlanUnreadable(ConfigurationError):
    """The plan file does not exist, or this user can't read it."""

    code = "SW_SYNC_PLAN_UNREADABLE"
    fix = "Correct the path, run this as the user who wrote the plan, or write a new plan."


class SyncPlanChanged(SyncStopped):
    """Others would lose access than in the plan that was reviewed. No changes were made."""

    code = "SW_SYNC_PLAN_CHANGED"
    remedy = (
        "The error names who was added to the losses of access, and who left them. Make a new plan "
        "with `scaiwave sync --plan`, review it, and apply that one. See [Applying a reviewed "
        "plan](../how-to/sync-changes.md#applying-a-reviewed-plan)."
    )


class RemovalNotFound(NotFoundError):
    """No pending removal has this ID, or it has ended, or it is outside of your scope."""

    code = "SW_SYNC_REMOVAL_NOT_FOUND"
    fix = "`scaiwave sync removals` lists the pending removals with their IDs."


class RemovalsChanged(RefusedError):
    """Other removals are pending than were reviewed. No changes were made."""

    code = "SW_SYNC_REMOVALS_CHANGED"
    fix = "Review them again with `scaiwave sync removals`. No changes were made."


class RemovalsDecided(RefusedError):
    """Someone has approved what you would keep, or kept what you would approve."""

    code = "SW_SYNC_REMOVALS_DECIDED"
    fix = "Ask them first. Pass `--override` to decide otherwise."


class SyncRunNotFound(NotFoundError):
    """No run of the sync has this ID, or it is outside of your scope."""

    code = "SW_SYNC_RUN_NOT_FOUND"
    fix = "`scaiwave sync runs` lists the runs with their IDs; `last` is the newest."


class RemovalsPending(RefusedError):
    """Losses of access over a limit wait until someone approves them or keeps the access."""

    code = "SW_SYNC_REMOVALS_PENDING"
    fix = "Review them with `scaiwave sync removals`, then approve or keep them."
    command = "scaiwave sync removals"
    remedy = (
        "Review them with `scaiwave sync removals`. `scaiwave sync approve` applies correct "
        "ones, `scaiwave sync keep` keeps the access. See [Pending "
        "removals](../how-to/pending-removals.md)."
    )


class RemovalsPostponed(RefusedError):
    """Removals have been postponed for more than 24 hours, because look-ups prove nothing."""

    code = "SW_SYNC_POSTPONED"
    fix = "Ask the operators of ScaiKey why these records can't be looked up."
    remedy = (
        "`scaiwave sync status` names the oldest. A look-up proves nothing if ScaiKey responds "
        "with a 403, a redirect or an unreadable body; ask the operators of ScaiKey. "
        "[What a sync proves](sync.md#what-a-sync-proves-before-it-removes)."
    )


class SyncOverdue(RefusedError):
    """No full sync has succeeded yet, or within two intervals of the schedule.

    The interval is `SCAIWAVE_SYNC_INTERVAL_MINUTES`.
    """

    code = "SW_SYNC_OVERDUE"
    fix = "Check that the scheduler or cron job is running, then run `scaiwave sync`."
    command = "scaiwave sync"
    remedy = (
        "`scaiwave sync status` shows who started the last runs and how they ended. Check the "
        "scheduler or the crontab, then run `scaiwave sync`. See [Running the "
        "processes](../how-to/operations.md)."
    )


class SyncFailing(RefusedError):
    """The last two or more full syncs failed or were refused."""

    code = "SW_SYNC_FAILING"
    remedy = "`scaiwave sync show-run last` shows the error of the latest run, and its fix."


class SyncSkipsRepeated(RefusedError):
    """Two or more syncs have skipped the same row, other than because removals are turned off."""

    code = "SW_SYNC_SKIPS_REPEATED"
    fix = "`scaiwave sync --dry-run -v 2` shows the skipped rows, and why."
    command = "scaiwave sync --dry-run -v 2"
    remedy = (
        "`scaiwave sync --dry-run -v 2` shows skipped rows, and why: an unusable record, a slug "
        "that is in use, a removal that can't be proven, or losses over the removal limit of a "
        "tenant."
    )


class WebhookNotConfigured(ConfigurationError):
    """A webhook arrived, and no secret is configured to verify it."""

    code = "SW_WEBHOOK_NOT_CONFIGURED"
    http_status = 503
    fix = "Set `SCAIWAVE_SCAIKEY_WEBHOOK_SECRET` to the secret of the webhook in ScaiKey."


class WebhookSignatureInvalid(RefusedError):
    """The signature of a webhook is missing, doesn't match, or is older than 300 s."""

    code = "SW_WEBHOOK_SIGNATURE_INVALID"
    fix = (
        "Compare `SCAIWAVE_SCAIKEY_WEBHOOK_SECRET` with the secret in ScaiKey, and this server's "
        "clock with the time."
    )


class WebhookInvalid(RefusedError):
    """A signed webhook is not an event as ScaiKey documents it."""

    code = "SW_WEBHOOK_INVALID"
    fix = "Report this to the operators of ScaiKey."


class WebhookNotStored(ConfigurationError):
    """The database could not store a webhook in time. ScaiKey delivers it again."""

    code = "SW_WEBHOOK_NOT_STORED"
    http_status = 503
    fix = "Check the database with `scaiwave doctor`."


class WebhookTooLarge(RefusedError):
    """The body of a webhook is larger than 256 KiB."""

    code = "SW_WEBHOOK_TOO_LARGE"
    http_status = 413
    fix = "Report this to the operators of ScaiKey."


class TenantNotLinked(DomainError):
    """The tenant of `sync --tenant` has no ScaiKey ID."""

    code = "SW_TENANT_NOT_LINKED"
    remedy = "Link it: `scaiwave admin link-tenant <slug> --scaikey-tenant-id <id>`."


class TenantGone(NotFoundError):
    """The tenant of `sync --tenant` is not in ScaiKey. No changes were made."""

    code = "SW_SYNC_TENANT_GONE"
    fix = "Run `scaiwave sync` for all tenants: it deactivates what ScaiKey no longer has."


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
        "Correct the named fault, then run `scaiwave sync register` again: it continues "
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


class CredentialsUnreadable(ConfigurationError):
    """A response of ScaiKey may have the credentials of a registration, but it can't be read."""

    code = "SW_CREDENTIALS_UNREADABLE"
    fix = (
        "Copy client ID and client secret from that file to SCAIWAVE_SCAIKEY_CLIENT_ID and "
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET, then delete it."
    )
    remedy = (
        "ScaiKey sends the credentials only once, so the response is kept, readable by its owner "
        "only. If it has a client ID and a client secret, set SCAIWAVE_SCAIKEY_URL, "
        "SCAIWAVE_SCAIKEY_CLIENT_ID and SCAIWAVE_SCAIKEY_CLIENT_SECRET, and discard the request "
        "with `scaiwave sync register --cancel`. If not, remove the application in ScaiKey, delete "
        "the file, and run `scaiwave sync register --restart`."
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
        "apply again; other answers are flags, such as `--name`."
    )


class RegistrationClosed(RefusedError):
    """The request has expired or was cancelled in ScaiKey."""

    code = "SW_REGISTRATION_OVER"
    fix = "Run `scaiwave sync register` to apply again with the same answers."


class RegistrationBusy(ConflictError):
    """Another `scaiwave sync register` is running in this home directory."""

    code = "SW_REGISTRATION_BUSY"
    fix = "Wait until it has finished, or stop it; its progress is saved."


class RegistrationConflict(ConflictError):
    """This server is registered already, or another request is pending or decided."""

    code = "SW_REGISTRATION_CONFLICT"
    remedy = (
        "Pass the flag that the error names: `--replace` replaces credentials, `--restart` "
        "discards a request."
    )


class RegistrationPending(ConflictError):
    """The request has not been approved or rejected yet."""

    code = "SW_REGISTRATION_PENDING"
    fix = "Approve the request in ScaiKey, then run `scaiwave sync register` again to continue."


class NoPendingRegistration(NotFoundError):
    """No request that could be cancelled is pending in this home directory."""

    code = "SW_REGISTRATION_NOT_FOUND"
    fix = "Run `scaiwave sync status` to see the last request."
