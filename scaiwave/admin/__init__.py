"""What every page of the admin site shares: looking, never changing.

Whatever changes something is a verb, where scope, audit and dry runs are. The site is for looking
around, and must stay quick with a million rows in a table.
"""

from __future__ import annotations

from django.contrib import admin

from scaiwave.admin.base import ReadOnlyAdmin
from scaiwave.admin.related import register_soft_reference

__all__ = ["ReadOnlyAdmin", "register_soft_reference"]

admin.site.site_header = "ScaiWave operators"
admin.site.site_title = "ScaiWave operators"
admin.site.index_title = "Look around; changes are made with the scaiwave command"
admin.site.index_template = "scaiwave/admin/index.html"
admin.site.site_url = None
