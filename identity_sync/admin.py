"""Admin pages of the sync."""

from identity_sync.site import pages, removals

__all__ = ["pages", "removals"]
