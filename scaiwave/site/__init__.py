"""The admin site: what its pages share.

Lists and pages are read-only. Acts make changes, by the services of the commands, which have scopes
and an audit. The pages must stay fast with a million rows in a table.
"""

from __future__ import annotations

from scaiwave.site.base import ReadOnlyAdmin
from scaiwave.site.menu import Section
from scaiwave.site.related import register_soft_reference

__all__ = ["ReadOnlyAdmin", "Section", "register_soft_reference"]
