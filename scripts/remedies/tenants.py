"""Tenants, partners, people, administrators, roles and AI."""

_OTHER_SLUG = "Choose another slug, or check the ScaiKey id; the error names the other one."
_AS_IT_SAYS = "Write it as the error says."

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_ADMINISTRATOR_BAD_NAME": ("", _AS_IT_SAYS),
    "SW_ADMINISTRATOR_CONFLICT": (
        "There is an administrator of this name already.",
        "Choose another name; `scaiwave manage changepassword <name>` gives that one another "
        "password.",
    ),
    "SW_ADMINISTRATOR_WEAK_PASSWORD": (
        "The password breaks a rule, which the error names. Nothing was changed.",
        "Choose a longer one that is no common word and not like the name.",
    ),
    "SW_AI_BUDGET_EXCEEDED": (
        "The month's budget at ScaiGrid is used up. It is not tried again.",
        "Have it raised in ScaiGrid, or wait for the next month.",
    ),
    "SW_AI_MODEL_MISSING": (
        "",
        "Correct the name, or have whoever runs ScaiGrid route the model to us. "
        "[When the AI does not answer](ai.md#when-the-ai-does-not-answer).",
    ),
    "SW_GROUP_NOT_FOUND": ("There is no such group, or not within your scope.", ""),
    "SW_PARTICIPANT_NOT_FOUND": ("There is no such participant, or not within your scope.", ""),
    "SW_PARTNER_CONFLICT": ("", _OTHER_SLUG),
    "SW_PARTNER_NOT_FOUND": ("There is no such partner, or not within your scope.", ""),
    "SW_ROLE_BAD_SLUG": (
        "Not the slug of a role.",
        "2 to 63 characters of a–z, 0–9, hyphen and underscore. [Slugs](roles.md#slugs).",
    ),
    "SW_ROLE_BUILT_IN": (
        "",
        "Grant or revoke it; a role that nobody holds does nothing.",
    ),
    "SW_ROLE_CONFLICT": ("", "Choose another slug, or give the name that it has."),
    "SW_ROLE_FROM_SCAIKEY": ("", "Take it from them in ScaiKey, then run `scaiwave sync`."),
    "SW_ROLE_HELD": ("", "Revoke it from each holder that the error names, then delete it."),
    "SW_ROLE_LAST_SUPER_ADMIN": (
        "Nobody active, or nobody who can sign in, would be super_admin any more.",
        "Grant super_admin to somebody else first. [Who may](roles.md#who-may-grant-roles).",
    ),
    "SW_ROLE_NOT_FOUND": ("The tenant has no such role.", ""),
    "SW_TENANT_BAD_FEATURE": ("", "Write it as `key=value`, the value as JSON; see the error."),
    "SW_TENANT_BAD_LIMIT": (
        "Not a limit.",
        "A limit is a whole number from 0 on, or `none`; the error names the greatest.",
    ),
    "SW_TENANT_BAD_NAME": ("", _AS_IT_SAYS),
    "SW_TENANT_BAD_SLUG": ("Not the slug of a tenant or partner.", _AS_IT_SAYS),
    "SW_TENANT_CAPACITY": (
        "The tenant's limit on rooms or storage would be passed. Nothing was imported.",
        "Raise the limit with `scaiwave admin update-tenant <slug>`, or make room.",
    ),
    "SW_TENANT_CONFLICT": ("", _OTHER_SLUG),
    "SW_TENANT_KEPT_BY_SCAIKEY": (
        "Name, slug and partner of a linked tenant belong to ScaiKey: the next sync would undo "
        "the change.",
        "Change it in ScaiKey, then run `scaiwave sync`. Limits and features are changed here.",
    ),
    "SW_TENANT_NOT_AT_SCAIKEY": (
        "",
        "Check the id in ScaiKey. For a tenant that is made there later, pass `--no-verify`.",
    ),
    "SW_TENANT_NOT_FOUND": ("There is no such tenant, or not within your scope.", ""),
    "SW_TENANT_SCAIKEY_DISAGREES": (
        "",
        "Pass the values that ScaiKey has, which the error names, or change them in ScaiKey first.",
    ),
}
