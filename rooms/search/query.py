"""Parse what an operator searches for, and show where it occurs in a message."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rooms.errors import SearchEmpty, SearchTooLong
from rooms.search.schema import SEPARATORS
from tenants.lookup.resolve import is_storable_text

MAX_TERMS = 32
MAX_QUERY_CHARS = 500
"""PostgreSQL takes seconds for a phrase of thousands of words, and ignores a word of more than
2,046 bytes."""
CONTEXT_CHARS = 60
"""Length of the snippet before the first hit; it has twice as many characters after it."""

_SEPARATORS_TO_BLANKS = str.maketrans(dict.fromkeys(SEPARATORS, " "))
_ACCENTS = re.compile("[\u0300-\u036f]")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class SearchQuery:
    """A message must contain every term; the words of one term must be adjacent."""

    terms: tuple[str, ...]

    @property
    def fts5_query(self) -> str:
        """Return each term as an FTS5 string: no character in it is an operator."""
        escaped = (term.replace('"', '""') for term in self.terms)
        return " ".join(f'"{term}"' for term in escaped)

    @property
    def tsquery_phrases(self) -> list[str]:
        """Return each term as an argument of `phraseto_tsquery`."""
        return [_strip_accents(term).translate(_SEPARATORS_TO_BLANKS) for term in self.terms]

    @property
    def folded_words(self) -> frozenset[str]:
        return frozenset(
            _fold(word) for phrase in self.tsquery_phrases for word in _WORD.findall(phrase)
        )


def parse_query(text: str) -> SearchQuery:
    """Raises `SearchEmpty` if the text has no letter or digit, and `SearchTooLong`."""
    if len(text) > MAX_QUERY_CHARS:
        raise SearchTooLong(
            f"Search text too long: {len(text):,} characters (maximum {MAX_QUERY_CHARS})."
        )
    terms = tuple(term for term in text.split() if any(char.isalnum() for char in term))
    if not terms or not is_storable_text(text):
        raise SearchEmpty("The search text contains no word.")
    if len(terms) > MAX_TERMS:
        raise SearchTooLong(f"Search text too long: {len(terms)} words (maximum {MAX_TERMS}).")
    return SearchQuery(terms)


def make_snippet(body: str, query: SearchQuery) -> str:
    """Return one line around the first hit, each hit «marked»; the beginning without hits."""
    text = " ".join(body.split())
    words = query.folded_words
    hits = [match.span() for match in _WORD.finditer(text) if _fold(match[0]) in words]
    first = hits[0][0] if hits else 0
    begin = max(first - CONTEXT_CHARS, 0)
    # From the next word, if its start is near.
    blank = text.find(" ", begin, begin + CONTEXT_CHARS // 2) if begin else -1
    begin = begin if blank < 0 else blank + 1
    end = min(first + 2 * CONTEXT_CHARS, len(text))
    parts, position = [], begin
    for start, stop in hits:
        if begin <= start and stop <= end:
            parts += [text[position:start], "«", text[start:stop], "»"]
            position = stop
    parts.append(text[position:end])
    return f"{'…' if begin else ''}{''.join(parts)}{'…' if end < len(text) else ''}"


def _fold(word: str) -> str:
    return _strip_accents(word).lower()


def _strip_accents(text: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text))
