"""Words on the command line, configuration, database, disk, and the operator's token."""

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_APPEND_ONLY": (
        "Something tried to change or delete an entry of the audit, and the database refused.",
        "Nothing was changed. Nobody needs to: what was done in error is set right by doing the "
        "opposite, which is audited too.",
    ),
    "SW_AUDIT_UNGUARDED": (
        "The triggers that keep the audit from being altered are missing in the database.",
        "",
    ),
    "SW_AUTH_EXPIRED_TOKEN": ("The token in SCAIWAVE_ADMIN_TOKEN, or of the request, is over.", ""),
    "SW_AUTH_INSUFFICIENT_PERMISSION": (
        "The operator is known, and this verb is not for their role; over HTTP: the caller is no "
        "active participant of the tenant.",
        "Ask an operator of a role that the error names; `scaiwave admin show-participant` says "
        "why somebody may not sign in. [Permissions](permissions.md).",
    ),
    "SW_AUTH_INVALID_TOKEN": (
        "A token is set and is no good: malformed, wrongly signed, of another issuer or made for "
        "another application. It is never ignored.",
        "",
    ),
    "SW_AUTH_TOKEN_REQUIRED": (
        "SCAIWAVE_REQUIRE_ADMIN_TOKEN is on and no token is set; over HTTP: no bearer token.",
        "",
    ),
    "SW_CLOCK_WRONG": (
        "This machine and ScaiKey differ by more than a minute, so tokens count as expired or "
        "not yet valid.",
        "",
    ),
    "SW_CONFIG_INVALID": (
        "A setting has a value that can't be used, or a file of the configuration can't be read.",
        "Set it as the error says; `scaiwave sync show-config` shows where each value comes from.",
    ),
    "SW_CONFIG_MISSING": (
        "A setting that this verb needs is not set.",
        "Set it in the environment or in the configuration file; see "
        "[Configuration](configuration.md).",
    ),
    "SW_CONFIRMATION_NEEDED": (
        "",
        "Run it at a terminal, or pass the flag that the error names: `--no-input` for a yes.",
    ),
    "SW_DATABASE_BUSY": ("Another process holds the database, or the same rows, for too long.", ""),
    "SW_DATABASE_DAMAGED": (
        "All migrations are recorded as done, and a table or column of theirs is missing.",
        "",
    ),
    "SW_DATABASE_UNMIGRATED": ("The database is older than the code.", ""),
    "SW_DATABASE_UNREACHABLE": (
        "No connection, refused credentials, a server that went away, or an SQLite file that "
        "can't be opened.",
        "Do what the error says; check SCAIWAVE_DB_URL with `scaiwave sync show-config`, then "
        "whether the server runs and lets this machine in.",
    ),
    "SW_DECLINED": ("The question was answered with no, or not at all.", ""),
    "SW_DISK_FULL": ("No space on a disk or in the database.", ""),
    "SW_FILE_UNWRITABLE": (
        "The configuration file can't be read, or can't be replaced by a new version.",
        "Let its folder belong to the user the suite runs as; see the error for which file.",
    ),
    "SW_INTERRUPTED": ("Ended by Ctrl-C.", ""),
    "SW_MEDIA_STORE_UNUSABLE": (
        "The place of the attachments can't be written, or gives back other bytes than were put "
        "there.",
        "",
    ),
    "SW_NAME_AMBIGUOUS": (
        "The name fits several things.",
        "Take the id of one of those that the error lists.",
    ),
    "SW_REDIS_UNREACHABLE": ("SCAIWAVE_REDIS_URL is set, and Redis does not answer.", ""),
    "SW_TERMINATED": ("Ended by SIGTERM, as at the stop of a service.", ""),
    "SW_USAGE": (
        "The words on the command line don't fit together, or a verb is misspelt.",
        "The error names the nearest verb; `scaiwave help <verb>` shows options and examples.",
    ),
}
