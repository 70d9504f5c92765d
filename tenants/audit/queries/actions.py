"""The actions of audit entries, for a filter that must not read them from a table of millions."""

from __future__ import annotations

_OF_COMMANDS = (
    *("activate-restore", "archive-room", "audit export", "audit seal --accept-restored"),
    *("backfill-search-index", "backup", "create-administrator", "create-partner", "create-tenant"),
    *("create-workspace", "disable-administrator", "enable-administrator", "end-sessions"),
    *("erase-tenant", "export-env", "export-participant", "export-room", "export-tenant"),
    *("federation check-peer", "federation key generate", "federation key reencrypt"),
    *("federation key revoke", "federation key rotate", "federation peer forget"),
    *("federation policy set", "hold add", "hold lift", "import-room", "import-tenant"),
    *("import-tenant --abort", "jobs clear", "jobs delete", "jobs retry", "link-tenant"),
    *("manage seed_rooms", "prune", "purge-participant", "refresh-usage", "register"),
    *("remove-administrator", "reopen-room", "reset-administrator-password", "restore"),
    *("resume-participant", "resume-partner", "resume-tenant", "retention clear", "retention run"),
    *("retention set", "role create", "role delete", "role grant", "role revoke", "role update"),
    *("room delete", "room media remove", "room media restore", "room purge", "room undelete"),
    *("suspend-participant", "suspend-partner", "suspend-tenant", "sync", "sync approve"),
    *("sync keep", "sync unlock", "unlink-tenant", "update-partner", "update-tenant"),
)
_OF_THE_ADMIN_SITE = (
    *("change-password", "export-list", "export-list-aborted", "read-messages"),
    *("request-erasure", "request-export", "request-plan", "request-sync"),
    *("sign-in", "sign-in-failed", "sign-in-locked"),
)
AUDIT_ACTIONS = tuple(sorted((*_OF_COMMANDS, *_OF_THE_ADMIN_SITE)))
