"""Registration with ScaiKey, and the sync."""

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_SYNC_BRAKE": (
        "",
        "Look with `scaiwave sync --dry-run -v 2`. If they really left, run it with the "
        "`--allow-removals N` that the error names; else ask who runs ScaiKey. "
        "[The brake](sync.md#the-brake).",
    ),
    "SW_SYNC_COLLECTION_EMPTY": (
        "",
        "Check the scopes of this server's application in ScaiKey. If there are none indeed, pass "
        "the flag that the error names.",
    ),
    "SW_SYNC_LOCKED": ("Another sync is running, on this machine or, with PostgreSQL, any.", ""),
    "SW_SYNC_NOT_REGISTERED": ("There are no credentials for ScaiKey in the configuration.", ""),
    "SW_SYNC_PARTIAL": (
        "All is applied but what was held back: removals of a tenant that would lose too much, or "
        "a tenant whose slug is taken.",
        "Do what the error says for each; `scaiwave sync --dry-run -v 2` shows what is left.",
    ),
    "SW_SYNC_TRUNCATED": (
        "",
        "Run the same command again later; if it stays so, ask who runs ScaiKey.",
    ),
    "SW_TENANT_NOT_LINKED": (
        "`sync --tenant` was asked for a tenant that has no ScaiKey id.",
        "Link it: `scaiwave admin link-tenant <slug> --scaikey-tenant-id <id>`.",
    ),
}
