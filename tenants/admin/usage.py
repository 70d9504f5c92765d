"""Format AI token usage for admin pages."""

from __future__ import annotations

from django.utils.html import format_html

from tenants.queries.serializers import Row
from tenants.queries.usage import is_near_cap


def highlight_near_cap(usage: Row, text: str | None) -> str | None:
    """Highlight the text if usage is near the cap."""
    if text is None or not is_near_cap(usage):
        return text
    return format_html('<strong class="close-to-cap">{}</strong>', text)
