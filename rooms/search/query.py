"""What an operator types as words, and what was found around them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rooms.errors import SearchEmpty, SearchTooLong
from rooms.search.schema import SEPARATORS
from tenants.queries.resolve import is_storable_text

MOST_PIECES = 32
LONGEST = 500
"""Characters. PostgreSQL takes seconds for thousands of words that must follow each other, and
overlooks a word of more than 2,046 bytes."""
AROUND = 60
"""Characters shown before the first hit, and twice as many after it."""

_BLANKS = str.maketrans(dict.fromkeys(SEPARATORS, " "))
_ACCENTS = re.compile("[\u0300-\u036f]")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class SearchQuery:
    """What is looked for. Every piece must be there; the words of one must follow each other."""

    pieces: tuple[str, ...]

    @property
    def for_fts5(self) -> str:
        """Each piece is a string to FTS5, in which nothing has a meaning."""
        quoted = (piece.replace('"', '""') for piece in self.pieces)
        return " ".join(f'"{piece}"' for piece in quoted)

    @property
    def for_tsquery(self) -> list[str]:
        return [_unaccented(piece).translate(_BLANKS) for piece in self.pieces]

    @property
    def folded(self) -> frozenset[str]:
        return frozenset(word for piece in self.for_tsquery for word in _folded_words(piece))


def parse_query(text: str) -> SearchQuery:
    """Raises `SearchEmpty` where there is no letter or digit to look for, and `SearchTooLong`."""
    if len(text) > LONGEST:
        raise SearchTooLong(f"This text has {len(text):,} characters; a search takes {LONGEST}.")
    pieces = tuple(piece for piece in text.split() if any(char.isalnum() for char in piece))
    if not pieces or not is_storable_text(text):
        raise SearchEmpty("There is no word to search for.")
    if len(pieces) > MOST_PIECES:
        raise SearchTooLong(f"These are {len(pieces)} words; a search takes {MOST_PIECES}.")
    return SearchQuery(pieces)


def snippet(body: str, words: SearchQuery) -> str:
    """One line around the first hit, each hit «marked»; the beginning where none is seen."""
    text = " ".join(body.split())
    sought = words.folded
    hits = [hit.span() for hit in _WORD.finditer(text) if _folded(hit[0]) in sought]
    first = hits[0][0] if hits else 0
    begin, end = _cut(text, max(first - AROUND, 0)), min(first + 2 * AROUND, len(text))
    marked, place = [], begin
    for start, stop in hits:
        if begin <= start and stop <= end:
            marked += [text[place:start], "«", text[start:stop], "»"]
            place = stop
    marked.append(text[place:end])
    return f"{'…' if begin else ''}{''.join(marked)}{'…' if end < len(text) else ''}"


def _cut(text: str, place: int) -> int:
    """The beginning of the next word, if that is near."""
    blank = text.find(" ", place, place + AROUND // 2) if place else -1
    return place if blank < 0 else blank + 1


def _folded_words(text: str) -> list[str]:
    return [_folded(word) for word in _WORD.findall(text)]


def _folded(word: str) -> str:
    return _unaccented(word).lower()


def _unaccented(text: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text))
