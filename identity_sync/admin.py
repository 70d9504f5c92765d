"""Admin pages of the sync."""

from identity_sync.site import pages

__all__ = ["pages"]
