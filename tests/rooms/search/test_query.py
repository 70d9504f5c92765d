from __future__ import annotations

import pytest

from rooms.errors import SearchEmpty, SearchTooLong
from rooms.search.query import make_snippet, parse_query


@pytest.mark.parametrize("text", ["", "  ", "\t\n", "***", '" - "', "🙂", "a\0b", "\ud800x"])
def test_fail_no_word(text: str) -> None:
    with pytest.raises(SearchEmpty, match=r"^The search text contains no word\.$"):
        parse_query(text)


def test_fail_too_many_words() -> None:
    with pytest.raises(SearchTooLong, match=r"^Search text too long: 33 words \(maximum 32\)\.$"):
        parse_query("word " * 33)


def test_fail_too_long() -> None:
    """PostgreSQL takes very long for long phrases."""
    assert parse_query("a-" * 250).terms == ("a-" * 250,)
    with pytest.raises(
        SearchTooLong, match=r"^Search text too long: 6,001 characters \(maximum 500\)\.$"
    ):
        parse_query("a-" * 3000 + "b")


@pytest.mark.parametrize(
    ("body", "text", "expected"),
    [
        ("Die Grüße aus 東京", "grusse GRUẞE 東京", "Die «Grüße» aus «東京»"),
        ("Die Grüße aus 東京", "gruße", "Die «Grüße» aus 東京"),
        ("one\n\ttwo   three", "two", "one «two» three"),
        ("foo-bar foobar foo", "foo-bar", "«foo»-«bar» foobar «foo»"),
        ("nothing of it", "else", "nothing of it"),
        ("", "else", ""),
    ],
)
def test_success_hits_are_marked(body: str, text: str, expected: str) -> None:
    assert make_snippet(body, parse_query(text)) == expected


def test_success_a_long_text_is_cut_around_the_first_hit() -> None:
    body = f"{'before ' * 40}needle {'after ' * 60}"
    shown = make_snippet(body, parse_query("needle"))
    assert shown.startswith("…before before")
    assert "before «needle» after" in shown
    assert shown.endswith("…")
    assert len(shown) < 200
