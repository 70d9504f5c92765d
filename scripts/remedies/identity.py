"""Registration with ScaiKey, and the sync."""

REMEDIES: dict[str, tuple[str, str]] = {
    "SW_SYNC_NOT_REGISTERED": ("There are no credentials for ScaiKey in the configuration.", ""),
}
