"""The forms of what people search for. They decide which lists the search of the site asks."""

from __future__ import annotations

import re
from enum import Enum
from uuid import UUID

MAX_TERM_CHARS = 200
"""What counts of a search: each word of it is another condition on each field."""


class TermForm(Enum):
    """A term has the first of these forms that fits."""

    ID = "the UUID of a row"
    ADDRESS = "@name:server"
    EMAIL = "an e-mail address, or a part of one"
    CODE = "the code of an error"
    HASH = "a SHA-256"
    DAY = "a date"
    TEXT = "a slug, a name, a ScaiKey ID, or a part of one"


_PATTERNS = {
    TermForm.ADDRESS: re.compile(r"@[^\s@]+:\S*"),
    TermForm.EMAIL: re.compile(r"\S*@\S*"),
    TermForm.CODE: re.compile(r"SW_[A-Z0-9_]+"),
    TermForm.HASH: re.compile(r"[0-9a-f]{64}"),
    TermForm.DAY: re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII),
}


def get_term_form(term: str) -> TermForm:
    if is_uuid(term):
        return TermForm.ID
    matches = (form for form, pattern in _PATTERNS.items() if pattern.fullmatch(term))
    return next(matches, TermForm.TEXT)


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
