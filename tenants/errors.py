"""What can go wrong with tenants, people and groups."""

from __future__ import annotations

from scaiwave.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    PermissionDenied,
    RefusedError,
)


class TenantNotFound(NotFoundError):
    """No such tenant, or it is outside your scope."""

    code = "SW_TENANT_NOT_FOUND"
    fix = "`scaiwave admin list-tenants` shows those you may see; `scaiwave sync` fetches new ones."


class PartnerNotFound(NotFoundError):
    """No such partner, or it is outside your scope."""

    code = "SW_PARTNER_NOT_FOUND"
    fix = (
        "`scaiwave admin list-partners` shows those you may see; `scaiwave sync` fetches new ones."
    )


class ParticipantNotFound(NotFoundError):
    """No such participant, or it is outside your scope."""

    code = "SW_PARTICIPANT_NOT_FOUND"
    fix = "`scaiwave admin list-participants --tenant <slug> --search <name>` finds people."


class GroupNotFound(NotFoundError):
    """No such group, or it is outside your scope."""

    code = "SW_GROUP_NOT_FOUND"
    fix = "`scaiwave admin list-groups --tenant <slug>` shows the groups of a tenant."


class ScaiKeyTenantNotFound(NotFoundError):
    """ScaiKey has no such tenant, or it is outside the operator's scope."""

    code = "SW_TENANT_NOT_AT_SCAIKEY"
    remedy = (
        "Check the ID in ScaiKey. For a tenant that will be created there later, pass "
        "`--no-verify`."
    )


class AmbiguousName(DomainError):
    """The name fits several objects."""

    code = "SW_NAME_AMBIGUOUS"
    remedy = "Use one of the IDs that the error lists."


class InvalidSlug(DomainError):
    """The slug can't be used for a tenant or partner."""

    code = "SW_TENANT_BAD_SLUG"
    remedy = "Correct it as the error says."


class InvalidName(DomainError):
    """The name or the ID is empty, too long or has characters that can't be stored or displayed."""

    code = "SW_TENANT_BAD_NAME"
    remedy = "Correct it as the error says."


class TenantConflict(ConflictError):
    """The slug or the ScaiKey tenant already belongs to another tenant."""

    code = "SW_TENANT_CONFLICT"
    remedy = "Choose another slug, or check the ScaiKey ID. The error names the other tenant."


class ScaiKeyMismatch(ConflictError):
    """The given values differ from ScaiKey's, which would win at the next sync."""

    code = "SW_TENANT_SCAIKEY_DISAGREES"
    remedy = "Pass the values that the error names, or change them in ScaiKey first."


class RoleNotFound(NotFoundError):
    """The tenant has no such role."""

    code = "SW_ROLE_NOT_FOUND"
    fix = "`scaiwave role list --tenant <slug>` shows the roles of a tenant."


class InvalidRoleSlug(DomainError):
    """The slug can't be used for a role."""

    code = "SW_ROLE_BAD_SLUG"
    remedy = (
        "Use 2 to 63 characters of a–z, 0–9, hyphen and underscore. See [Slugs](roles.md#slugs)."
    )


class RoleConflict(ConflictError):
    """The slug already belongs to another role of the tenant."""

    code = "SW_ROLE_CONFLICT"
    remedy = "Choose another slug, or pass the name that the role has."


class RoleBuiltIn(RefusedError):
    """Built-in roles exist in every tenant and can't be created or deleted."""

    code = "SW_ROLE_BUILT_IN"
    remedy = "Grant or revoke it instead. A role without holders has no effect."


class RoleInUse(RefusedError):
    """A role that is granted can't be deleted."""

    code = "SW_ROLE_HELD"
    remedy = "Revoke it from each holder that the error names, then delete it."


class RoleHolderInactive(RefusedError):
    """Whom it would be granted to is gone from ScaiKey."""

    code = "SW_ROLE_HOLDER_GONE"
    fix = "Bring them back in ScaiKey and run `scaiwave sync`, then grant it."


class RoleFromScaiKey(RefusedError):
    """ScaiKey grants the role, and would grant it again."""

    code = "SW_ROLE_FROM_SCAIKEY"
    remedy = "Revoke it in ScaiKey, then run `scaiwave sync`."


class LastSuperAdmin(RefusedError):
    """The tenant would lose its last super_admin who is active, or who can sign in."""

    code = "SW_ROLE_LAST_SUPER_ADMIN"
    remedy = (
        "Grant super_admin to another participant first. See [Who "
        "may](roles.md#who-may-grant-roles)."
    )


class SuperAdminOnly(PermissionDenied):
    """Only a super_admin gives and takes super_admin."""

    code = "SW_ROLE_SUPER_ADMIN_ONLY"
    fix = "Ask a super_admin, or run it on the server itself."


class SelfElevation(PermissionDenied):
    """Nobody gives a role to themselves."""

    code = "SW_ROLE_SELF_ELEVATION"
    fix = "Ask another operator who may manage roles here."


class ManagedByScaiKey(RefusedError):
    """ScaiKey manages the name, slug and partner of a linked tenant, and the next sync would undo
    the change.
    """

    code = "SW_TENANT_KEPT_BY_SCAIKEY"
    remedy = "Change it in ScaiKey, then run `scaiwave sync`. Limits and features are changed here."


class InvalidLimit(DomainError):
    """The limit is not valid."""

    code = "SW_TENANT_BAD_LIMIT"
    remedy = "Pass a whole number from 0 on, or `none`. The error names the maximum."


class InvalidFeature(DomainError):
    """The key or the value can't be stored in a tenant's features."""

    code = "SW_TENANT_BAD_FEATURE"
    remedy = "Write it as `key=value` with a JSON value, as the error says."


class PartnerConflict(ConflictError):
    """The slug or the ScaiKey partner already belongs to another partner."""

    code = "SW_PARTNER_CONFLICT"
    remedy = "Choose another slug, or check the ScaiKey ID. The error names the other partner."


class AuditTriggersMissing(ConfigurationError):
    """The database triggers that protect the audit are missing."""

    code = "SW_AUDIT_UNGUARDED"
    fix = "`scaiwave manage migrate` makes them anew. Find out who took them away."


class AdministratorConflict(ConflictError):
    """An administrator with this name already exists."""

    code = "SW_ADMINISTRATOR_CONFLICT"
    remedy = (
        "Choose another name. `scaiwave manage changepassword <name>` sets a new password for "
        "the existing one."
    )


class InvalidAdministrator(DomainError):
    """The user name or e-mail address can't be used for an administrator."""

    code = "SW_ADMINISTRATOR_BAD_NAME"
    remedy = "Correct it as the error says."


class WeakPassword(DomainError):
    """The password breaks a rule, which the error names. Nothing was changed."""

    code = "SW_ADMINISTRATOR_WEAK_PASSWORD"
    remedy = "Choose a longer password that is not a common word and not like the name."


class ModelMissing(NotFoundError):
    """ScaiGrid does not list a model that is configured here."""

    code = "SW_AI_MODEL_MISSING"
    remedy = (
        "Correct the name, or ask the operator of ScaiGrid to route the model to this server. "
        "See [When the AI does not answer](ai.md#when-the-ai-does-not-answer)."
    )
