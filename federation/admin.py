"""Admin pages of federation."""

from federation.site import pages

__all__ = ["pages"]
