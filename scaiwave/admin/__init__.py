"""The read-only admin site: what its pages share.

Changes are made by commands, which have scopes, an audit and dry runs. The pages must stay fast
with a million rows in a table.
"""

from __future__ import annotations

from scaiwave.admin.base import ReadOnlyAdmin
from scaiwave.admin.menu import Section
from scaiwave.admin.related import register_soft_reference

__all__ = ["ReadOnlyAdmin", "Section", "register_soft_reference"]
