"""Read pages of the admin site as a person does: by the text in them."""

from __future__ import annotations

import re

from django.test import Client
from django.urls import reverse


def read_column(client: Client, url_name: str, column: str) -> list[str]:
    """Return the texts of a column of a list, without markup."""
    page = client.get(reverse(url_name)).content.decode()
    cells = re.findall(rf'<t[dh] data-label="[^"]*" class="field-{column}[^>]*>(.*?)</t[dh]>', page)
    return [strip_markup(cell) for cell in cells]


def strip_markup(html: str) -> str:
    text = re.sub(r"<meter.*?</meter>", "", html)
    return " ".join(re.sub(r"<[^>]+>", "", text).split())
