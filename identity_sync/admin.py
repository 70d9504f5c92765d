"""Admin pages of the sync."""

from identity_sync.site import changes, removals, runs

__all__ = ["changes", "removals", "runs"]
