"""Texts that mention a name, and what is left of values without them."""

from __future__ import annotations

import pytest

from scaiwave.core.mentions import Mentions

MENTIONS = Mentions(["acme", "Ännchen Müller", "anna@x.example", "@bo:chat", "", "-"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tenant acme.", True),
        ("ACME", True),
        ("acme2 and xacme", False),
        ("to änNCHEN MÜLLER, and", True),
        ("ännchen müllerin", False),
        ("<anna@x.example>", True),
        ("anna@x.examples", False),
        ("@bo:chat left", True),
        ("", False),
    ],
)
def test_success_whole_words_in_any_case(text: str, found: bool) -> None:
    assert MENTIONS.are_in(text) is found


def test_success_not_in_the_names_of_others() -> None:
    names = Mentions(["acme", "Acme GmbH"], ["acme-labs", "the-acme", "Acme Labs", "acme", "x"])
    for text in ("acme-labs: full", "the-acme", "tenant ACME LABS", "/acme-labs/2", "<acme-labs>"):
        assert not names.are_in(text)
    for text in ("acme-labs, acme", "acme-lab", "acme-labs-2", "Acme GmbH", "x-acme"):
        assert names.are_in(text)


def test_success_redacted() -> None:
    value = {"a": ["for acme", "for all", {"deep": ["acme"]}], "b": "acme", "c": [["acme", 3]]}
    assert MENTIONS.redact(value) == {"a": ["for all"], "b": "", "c": []}
    assert MENTIONS.redact(7) == 7
