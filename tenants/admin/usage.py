"""AI tokens beside their caps, as the pages show them."""

from __future__ import annotations

from django.utils.html import format_html

from tenants.queries.serializers import Row
from tenants.queries.usage import is_near_cap


def highlight_near_cap(usage: Row, text: str | None) -> str | None:
    """The text, to be seen at once where the cap is close."""
    if text is None or not is_near_cap(usage):
        return text
    return format_html('<strong class="close-to-cap">{}</strong>', text)
