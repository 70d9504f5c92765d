"""Errors of tenants, partners, participants, groups, roles, the audit log and administrators.

DomainError
├── AmbiguousName             a name matches more than one record
├── InvalidSlug               not the slug of a tenant or partner
├── InvalidName               a name, reason or ID can't be stored or printed
├── InvalidRoleSlug           not the slug of a role
├── InvalidLimit              not a limit
├── InvalidFeature            not a feature's key or value
├── AuditChanged              the audit log differs from its seals
├── InvalidAuditExport        the file is not an export of the audit log
├── InvalidAdministrator      not a user name or e-mail address
└── WeakPassword              the password breaks a rule
NotFoundError
├── TenantNotFound, PartnerNotFound, ParticipantNotFound, GroupNotFound, RoleNotFound
├── HoldNotFound              no hold has this ID
├── AdministratorNotFound     no account of the admin site has this name
├── ScaiKeyTenantNotFound     ScaiKey has no such tenant
└── ModelMissing              ScaiGrid does not list a configured model
ConflictError
├── TenantConflict, PartnerConflict, RoleConflict, AdministratorConflict
├── AuditSealRunning          another process is sealing the audit log
├── AuditNotSettled           an open transaction may still add audit entries
├── PartnerFull               the partner may have no more tenants
└── ScaiKeyMismatch           ScaiKey has other values for the tenant
RefusedError
├── RoleBuiltIn               built-in roles can't be created or deleted
├── RoleInUse                 the role is still granted
├── RoleHolderInactive        the holder was removed from ScaiKey
├── RoleFromScaiKey           the grant belongs to ScaiKey
├── LastSuperAdmin            no super_admin would remain
├── AuditAgeTooLow            audit entries are kept for some time
├── AuditNotSealed            entries to be deleted are not sealed yet
├── ServerRestored            this server was restored and is not activated
├── LastAdministrator         no administrator could sign in
├── AdministratorFromScaiKey  the account has no password here
├── OnHold                    a hold forbids it
│   └── TenantOnHold, ParticipantOnHold, RoomOnHold
├── PurgeRefused              the person is not removed from ScaiKey
├── PurgeLimitExceeded        more people than expected would be purged
└── ManagedByScaiKey          ScaiKey manages this field of the tenant or partner
PermissionDenied
├── SuperAdminOnly            only a super_admin changes the access of a super_admin
└── SelfElevation             operators can't grant themselves a role
ConfigurationError
└── AuditTriggersMissing      the database does not protect the audit log
"""

from __future__ import annotations

from scaiwave.core.errors import (
    AuthError,
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    PermissionDenied,
    RefusedError,
)

_SEE_ERROR = "Follow the rule that the error names."


class ServerRestored(RefusedError):
    """This server was restored from a backup and is not activated. Syncs, webhooks and schedules
    are stopped, and nothing is sent to ScaiKey."""

    code = "SW_SERVER_RESTORED"
    http_status = 503
    fix = (
        "If it replaces the live server, run `scaiwave admin activate-restore`. Leave a copy for a "
        "test as it is."
    )


class TenantNotFound(NotFoundError):
    """No such tenant within your scope."""

    code = "SW_TENANT_NOT_FOUND"
    fix = (
        "Run `scaiwave admin list-tenants` to see the tenants within your scope, or "
        "`scaiwave sync` to fetch new ones."
    )


class PartnerNotFound(NotFoundError):
    """No such partner within your scope."""

    code = "SW_PARTNER_NOT_FOUND"
    fix = (
        "Run `scaiwave admin list-partners` to see the partners within your scope, or "
        "`scaiwave sync` to fetch new ones."
    )


class ParticipantNotFound(NotFoundError):
    """No such participant within your scope."""

    code = "SW_PARTICIPANT_NOT_FOUND"
    fix = "`scaiwave admin list-participants --search <name>` searches all tenants you may see."


class GroupNotFound(NotFoundError):
    """No such group within your scope."""

    code = "SW_GROUP_NOT_FOUND"
    FIX = "Run `scaiwave admin list-groups --tenant {}` to see a tenant's groups."
    fix = FIX.format("<slug>")


class HoldNotFound(NotFoundError):
    """No hold has this ID."""

    code = "SW_HOLD_NOT_FOUND"
    fix = "Run `scaiwave admin hold list --lifted` to see all holds with their IDs."


class OnHold(RefusedError):
    """A hold covers what would be deleted or erased; `details` has its ID."""


class TenantOnHold(OnHold):
    """The tenant is on hold: nothing of its rooms and people may be deleted or erased."""

    code = "SW_TENANT_ON_HOLD"
    fix = "Run `scaiwave admin hold list` to see the hold. Lift it only if it has ended."


class ParticipantOnHold(OnHold):
    """A participant is on hold: their row and their messages may not be deleted or erased."""

    code = "SW_PARTICIPANT_ON_HOLD"
    fix = TenantOnHold.fix


class RoomOnHold(OnHold):
    """A room is on hold: its events, files and members may not be deleted or erased."""

    code = "SW_ROOM_ON_HOLD"
    fix = TenantOnHold.fix


class ScaiKeyTenantNotFound(NotFoundError):
    """ScaiKey has no such tenant, or has it outside your scope."""

    code = "SW_TENANT_NOT_AT_SCAIKEY"
    remedy = "Check the ID in ScaiKey. If the tenant will be created there later, add --no-verify."


class AmbiguousName(DomainError):
    """The name matches more than one record."""

    code = "SW_NAME_AMBIGUOUS"
    remedy = "Use the ID of one of the records that the error lists."


class InvalidSlug(DomainError):
    """The text is not a valid slug of a tenant or partner."""

    code = "SW_TENANT_BAD_SLUG"
    remedy = _SEE_ERROR


class InvalidName(DomainError):
    """A name, reason or ID is too long or contains characters that can't be printed."""

    code = "SW_TENANT_BAD_NAME"
    remedy = _SEE_ERROR


class TenantConflict(ConflictError):
    """The slug or the ScaiKey tenant already belongs to another tenant."""

    code = "SW_TENANT_CONFLICT"
    remedy = "Choose another slug, or check the ID in ScaiKey."


class ScaiKeyMismatch(ConflictError):
    """ScaiKey has other values for this tenant, and the next sync would apply them."""

    code = "SW_TENANT_SCAIKEY_DISAGREES"
    remedy = "Pass the values that ScaiKey has, or change them in ScaiKey first."


class RoleNotFound(NotFoundError):
    """The tenant has no such role."""

    code = "SW_ROLE_NOT_FOUND"
    fix = "Run `scaiwave role list --tenant <slug>` to see a tenant's roles."


class InvalidRoleSlug(DomainError):
    """The text is not a valid slug of a role."""

    code = "SW_ROLE_BAD_SLUG"
    remedy = "Use 2 to 63 characters of a–z, 0–9, hyphen and underscore. [Slugs](roles.md#slugs)."


class RoleConflict(ConflictError):
    """The tenant already has a role with this slug and another name."""

    code = "SW_ROLE_CONFLICT"
    remedy = "Choose another slug, or pass the name that the role has."


class RoleBuiltIn(RefusedError):
    """Every tenant has this role, or one that the slug or name looks like. Built-in roles are not
    created, changed or deleted."""

    code = "SW_ROLE_BUILT_IN"
    remedy = "Grant or revoke the role; a role without holders has no effect."


class RoleInUse(RefusedError):
    """The role can't be deleted while it is granted."""

    code = "SW_ROLE_HELD"
    remedy = "Revoke the role from each holder that the error names, then delete it."


class RoleHolderInactive(RefusedError):
    """The participant or group that would get the role was removed from ScaiKey."""

    code = "SW_ROLE_HOLDER_GONE"
    fix = "Restore the holder in ScaiKey, run `scaiwave sync`, then grant the role."


class RoleForPeopleOnly(RefusedError):
    """AI, bridges and accounts of other servers can't be administrators."""

    code = "SW_ROLE_PEOPLE_ONLY"
    fix = "Grant the role to a person."


class RoleFromScaiKey(RefusedError):
    """ScaiKey granted the role, and would grant it again."""

    code = "SW_ROLE_FROM_SCAIKEY"
    remedy = "Remove the role from the holder in ScaiKey, then run `scaiwave sync`."


class LastSuperAdmin(RefusedError):
    """No active super_admin, or none who can sign in, would remain."""

    code = "SW_ROLE_LAST_SUPER_ADMIN"
    remedy = "Grant super_admin to another person first. [Who may](roles.md#who-may-grant-roles)."


class PurgeRefused(RefusedError):
    """Only people who were removed from ScaiKey can be purged."""

    code = "SW_PARTICIPANT_NOT_PURGEABLE"
    remedy = (
        "Remove the person in ScaiKey, run `scaiwave sync`, then purge them. "
        "[Erasing a person's data](erasure.md)."
    )


class PurgeLimitExceeded(RefusedError):
    """More people are due than the limit allows. No one was purged."""

    code = "SW_PARTICIPANT_PURGE_LIMIT"
    remedy = (
        "Preview them with --dry-run. If they are right, allow the number with --limit, or always "
        "with SCAIWAVE_PURGE_LIMIT."
    )


class SuperAdminOnly(PermissionDenied):
    """Only a super_admin can grant or revoke super_admin, or suspend someone who has it."""

    code = "SW_ROLE_SUPER_ADMIN_ONLY"
    fix = "Ask a super_admin, or run the command on the server itself."


class SelfElevation(PermissionDenied):
    """Operators can't grant a role to themselves."""

    code = "SW_ROLE_SELF_ELEVATION"
    fix = "Ask another operator who can manage roles in this tenant."


class ManagedByScaiKey(RefusedError):
    """ScaiKey manages name, slug and partner of a linked tenant, and all fields of a partner that
    it has; the next sync would undo the change."""

    code = "SW_TENANT_KEPT_BY_SCAIKEY"
    remedy = "Change it in ScaiKey, then run `scaiwave sync`. Limits and features are set here."


class InvalidLimit(DomainError):
    """The number is not a valid limit."""

    code = "SW_TENANT_BAD_LIMIT"
    remedy = "Pass a whole number from 0 up to the maximum that the error names, or `none`."


class InvalidFeature(DomainError):
    """The key or the value can't be used for a feature."""

    code = "SW_TENANT_BAD_FEATURE"
    remedy = "Write it as `key=value`, with the value in JSON."


class PartnerConflict(ConflictError):
    """The slug or the ScaiKey partner already belongs to another partner."""

    code = "SW_PARTNER_CONFLICT"
    remedy = "Choose another slug, or check the ID in ScaiKey."


class PartnerFull(ConflictError):
    """The partner has as many tenants as its limit allows."""

    code = "SW_PARTNER_CAPACITY"
    remedy = (
        "Raise `max_tenants` of the partner: in ScaiKey for a partner that it has, else with "
        "`scaiwave admin update-partner`."
    )


class AuditTriggersMissing(ConfigurationError):
    """The database lacks the triggers that protect the audit log from changes."""

    code = "SW_AUDIT_UNGUARDED"
    fix = "Run `scaiwave manage migrate` to create them again, and find out who removed them."


class AdministratorConflict(ConflictError):
    """An administrator with this name already exists."""

    code = "SW_ADMINISTRATOR_CONFLICT"
    remedy = (
        "Choose another name, or set a new password for the existing one with "
        "`scaiwave admin reset-administrator-password <name>`."
    )


class AdministratorNotFound(NotFoundError):
    """There is no administrator with this name."""

    code = "SW_ADMINISTRATOR_NOT_FOUND"
    fix = "`scaiwave admin list-administrators` lists all."


class AdministratorFromScaiKey(RefusedError):
    """The account belongs to a person who signs in with ScaiKey, and has no password here."""

    code = "SW_ADMINISTRATOR_FROM_SCAIKEY"
    fix = (
        "Reset the password in ScaiKey, or create an account with a password: "
        "`scaiwave admin create-administrator <name>`."
    )


class LastAdministrator(RefusedError):
    """No one else can sign in to the admin site."""

    code = "SW_ADMINISTRATOR_LAST"
    remedy = "Create or enable another administrator first, or pass `--allow-last`."


class AuditAgeTooLow(RefusedError):
    """Audit entries would be deleted that are not old enough."""

    code = "SW_AUDIT_AGE_TOO_LOW"
    remedy = "Pass a higher number of days to `--audit-older-than`. Nothing was deleted."


class AuditChanged(DomainError):
    """The audit log or its seals were changed, or what proves that they were not is missing."""

    code = "SW_AUDIT_CHANGED"
    fix = (
        "Compare with an export or a backup from before, and find out who could write to the "
        "database."
    )
    remedy = (
        "The command lists the problems. [Verifying the audit log](audit-seals.md#problems) "
        "describes each problem, and what to do."
    )


class AuditSealsLost(DomainError):
    """The audit log lacks the newest seal that this host has made, or has another in its place."""

    code = "SW_AUDIT_SEALS_LOST"
    fix = (
        "If an older backup was restored, run `scaiwave admin audit seal --accept-restored`. "
        "Otherwise find out who could write to the database."
    )
    remedy = (
        "The log was reset to an earlier state, together with its seals. After "
        "[restoring an older backup](backup.md#after-restoring-an-older-backup) that is expected: "
        "accept it with `scaiwave admin audit seal --accept-restored`. Otherwise compare the log "
        "with an export or a backup from before."
    )


class AuditSealedAhead(DomainError):
    """By a clock that was ahead, days of the audit log are sealed that have not begun."""

    code = "SW_AUDIT_SEALED_AHEAD"
    fix = "Check the clocks of all hosts, and keep copies of new entries until then."


class AuditUnsealed(DomainError):
    """Days of the audit log that ended are not sealed; the sealed days are unchanged."""

    code = "SW_AUDIT_UNSEALED"
    fix = "Run `scaiwave admin audit seal`, which also completes an interrupted run."
    remedy = (
        "Run `scaiwave admin audit seal`, and check that the scheduler or cron runs it every hour. "
        "If these days were sealed before, their seals were deleted: see "
        "[Problems](audit-seals.md#problems)."
    )


class InvalidAuditExport(DomainError):
    """The file is not an export of the audit log, or of a version that this release can't read."""

    code = "SW_AUDIT_BAD_EXPORT"
    fix = "Pass a file that `scaiwave admin audit export` has written."


class AuditSealRunning(ConflictError):
    """Another process is sealing the audit log."""

    code = "SW_AUDIT_SEAL_RUNNING"
    fix = "Wait for it to end, then run `scaiwave admin audit seal` again."


class AuditNotSettled(ConflictError):
    """An open transaction may still add entries to a day that would be sealed."""

    code = "SW_AUDIT_NOT_SETTLED"
    fix = "Wait for the transaction to end, then run `scaiwave admin audit seal` again."


class AuditNotSealed(RefusedError):
    """Audit entries would be deleted that are not sealed. Nothing was deleted."""

    code = "SW_AUDIT_NOT_SEALED"
    fix = "Run `scaiwave admin audit seal`, then prune again."


class InvalidAdministrator(DomainError):
    """The user name or the e-mail address of an administrator is not valid."""

    code = "SW_ADMINISTRATOR_BAD_NAME"
    remedy = _SEE_ERROR


class WeakPassword(DomainError):
    """The password breaks a rule. No changes were made."""

    code = "SW_ADMINISTRATOR_WEAK_PASSWORD"
    remedy = "Choose a longer password that is not a common word and not similar to the name."


class ModelMissing(NotFoundError):
    """ScaiGrid does not list a model that is configured on this server."""

    code = "SW_AI_MODEL_MISSING"
    remedy = (
        "Correct the name, or ask the operators of ScaiGrid to route the model to this server. "
        "[When the AI does not answer](ai.md#when-the-ai-does-not-answer)."
    )


class SignInStateLost(DomainError):
    """A sign-in with ScaiKey came back to a browser that did not begin it, or came back twice."""

    code = "SW_SIGN_IN_STATE_LOST"
    fix = "Sign in again from the start, in one browser that accepts cookies of this server."


class SignInCancelled(PermissionDenied):
    """ScaiKey has sent the browser back without signing anyone in."""

    code = "SW_SIGN_IN_CANCELLED"
    fix = "Sign in again, and confirm it in ScaiKey."


class SignInRejected(AuthError):
    """This server could not verify what ScaiKey sent after a sign-in. No one was signed in."""

    code = "SW_SIGN_IN_REJECTED"
    fix = "Sign in again. If it fails again, ask the operator of this server to check its log."
    remedy = (
        "Sign in again. If it fails again, check the clock of this server, and with `scaiwave sync "
        "show-config` SCAIWAVE_SCAIKEY_URL, SCAIWAVE_SCAIKEY_ISSUER and SCAIWAVE_SCAIKEY_CLIENT_ID."
    )


class SignInRoleMissing(PermissionDenied):
    """The person has no role in ScaiKey that may enter the admin site."""

    code = "SW_SIGN_IN_NO_ROLE"
    fix = (
        "Ask for the role super_admin, partner_admin or tenant_admin in ScaiKey, then sign in "
        "again."
    )


class SignInRefused(PermissionDenied):
    """The person is suspended or deactivated, or their account of the admin site is disabled."""

    code = "SW_SIGN_IN_REFUSED"
    fix = "Ask an operator of this server to run `scaiwave admin show-participant` for you."
    remedy = (
        "`scaiwave admin show-participant <ID>` lists why a person can't sign in, and how to "
        "change that. `scaiwave admin list-administrators` shows whether the account is disabled."
    )
