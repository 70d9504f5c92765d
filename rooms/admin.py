"""Admin pages of rooms."""

from rooms.site import pages

__all__ = ["pages"]
