"""The read-only admin site: what its pages share.

Changes are made by commands, which have scopes, an audit and dry runs. The pages must stay fast
with a million rows in a table.
"""

from __future__ import annotations

from django.contrib import admin

from scaiwave.admin.base import ReadOnlyAdmin
from scaiwave.admin.related import register_soft_reference

__all__ = ["ReadOnlyAdmin", "register_soft_reference"]

admin.site.site_header = "ScaiWave operators"
admin.site.site_title = "ScaiWave operators"
admin.site.index_title = "Read-only view; use the scaiwave command to make changes"
admin.site.index_template = "scaiwave/admin/index.html"
admin.site.site_url = None
