"""Rooms, workspaces, bundles, search, and the HTTP API."""

_CURL = "Call it as [the page of the HTTP API](http-api.md) says."

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_BUNDLE_BOMB": ("The file unpacks to far more than it is, or entries share bytes.", ""),
    "SW_BUNDLE_ENCRYPTED": ("An entry of the ZIP file is encrypted; bundles never are.", ""),
    "SW_BUNDLE_NOT_VERIFIED": (
        "The verdict of `room verify`: it could read the bundle to its end, and something in it "
        "is not as it should be. What was said before tells each entry.",
        "",
    ),
    "SW_BUNDLE_OUT_OF_ORDER": ("The events of the manifest are not in the order of the room.", ""),
    "SW_BUNDLE_TOO_LARGE": ("Larger than is imported here, packed, unpacked or in entries.", ""),
    "SW_BUNDLE_VERSION": ("The bundle is of a version of the format that this one can't read.", ""),
    "SW_CONTENT_TOO_LARGE": (
        "An event of the bundle has more content than the platform stores (64 KiB).",
        "Nothing was imported. The bundle was not made by a ScaiWave server; have it made anew.",
    ),
    "SW_METHOD_NOT_ALLOWED": ("This address does not take this method; see `Allow`.", _CURL),
    "SW_NOT_FOUND": ("There is no such address below `/v1/`.", _CURL),
    "SW_NOT_MEMBER": (
        "Over HTTP: whoever asks for an export has not joined the room.",
        "Join the room, or ask an operator for the export.",
    ),
    "SW_QUEUE_UNAVAILABLE": ("Work was to be handed to a worker, and there is no Redis.", ""),
    "SW_REQUEST_INVALID": ("", _CURL),
    "SW_REQUEST_LENGTH_REQUIRED": ("An upload without a `Content-Length`.", _CURL),
    "SW_ROOM_EXPORT_DAMAGED": (
        "",
        "Restore the attachment that the error names from a backup of the media store, or pass "
        "`--no-media`.",
    ),
    "SW_ROOM_EXPORT_REFUSED": (
        "",
        "`scaiwave room list` shows which rooms can be carried.",
    ),
    "SW_ROOM_EXPORT_RUNNING": ("Another `room export --all` writes into this folder.", ""),
    "SW_ROOM_IMPORT_REFUSED": (
        "A whole bundle that must not come in: its type, its signature, a tenant that is not "
        "active, or a file that changed while it was read.",
        "Nothing was imported. Do what the error says; "
        "[When it is refused](rooms.md#when-an-export-or-import-is-refused).",
    ),
    "SW_ROOM_IMPORT_RUNNING": ("With `--once`: the same bundle is being imported.", ""),
    "SW_ROOM_NOT_FOUND": ("There is no such room in the tenant, or not within your scope.", ""),
    "SW_SEARCH_BACKFILL_GIVEN_UP": ("Somebody has begun this backfill anew meanwhile.", ""),
    "SW_SEARCH_EMPTY": ("There is no word to search for.", ""),
    "SW_SEARCH_TOO_LONG": ("More words than a search takes.", ""),
    "SW_WORKSPACE_FORBIDDEN": (
        "Whoever `--as` names, or who calls, is no active owner or editor of the workspace.",
        "",
    ),
    "SW_WORKSPACE_NOT_FOUND": ("There is no such workspace in the tenant.", ""),
}
