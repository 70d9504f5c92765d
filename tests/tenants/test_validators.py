from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import InvalidName, InvalidSlug
from tenants.services.validators import (
    RESERVED,
    SLUG_RULES,
    validate_name,
    validate_scaikey_id,
    validate_slug,
)


@pytest.mark.parametrize("slug", ["ab", "acme", "acme-corp", "4you", "a1", "x" * 63])
def test_success_slug(slug: str) -> None:
    validate_slug(slug)


@pytest.mark.parametrize(
    ("slug", "wrong", "near"),
    [
        ("", "it has 0 characters", ""),
        ("a", "it has 1 characters", ""),
        ("x" * 64, "it has 64 characters", "x" * 63),
        ("Acme", "'A' is not allowed in it", "acme"),
        ("acme corp", "' ' is not allowed in it", "acme-corp"),
        ("acme_corp", "'_' is not allowed in it", "acme-corp"),
        ("zoë", "'ë' is not allowed in it", "zoe"),
        ("acme\n", r"'\n' is not allowed in it", "acme"),
        ("-acme", "it begins or ends with a hyphen", "acme"),
        ("acme-", "it begins or ends with a hyphen", "acme"),
        ("ac--me", "it has two hyphens in a row", "ac-me"),
        ("Волна", "'В' is not allowed in it", ""),
        ("admin", "the word is reserved", ""),
        ("Admin", "'A' is not allowed in it", ""),
        ("0192f0c4-7d1a-7000-8000-000000000000", "it looks like an id", ""),
        ("0192f0c47d1a70008000000000000000", "it looks like an id", ""),
    ],
)
def test_fail_slug(slug: str, wrong: str, near: str) -> None:
    with pytest.raises(InvalidSlug) as caught:
        validate_slug(slug)
    assert caught.value.message == f"{slug!r} can't be a tenant's slug: {wrong}."
    assert caught.value.fix == (f"Try {near!r}. " if near else "") + SLUG_RULES


def test_success_every_rule_is_said() -> None:
    assert SLUG_RULES.startswith(
        "A slug has 2 to 63 characters: a–z, 0–9 and hyphens. It begins and ends with a letter or "
        "digit, has no two hyphens in a row, does not look like a UUID, and is none of these "
        "reserved words: admin, all, api, "
    )
    assert all(word in SLUG_RULES for word in RESERVED)


@given(slug=st.text(st.sampled_from("ab9-_ Aé"), max_size=70))
def test_success_refused_or_as_the_rules_say(slug: str) -> None:
    try:
        validate_slug(slug)
    except InvalidSlug as refused:
        if found := re.match(r"Try '(.*?)'\. ", refused.fix):
            validate_slug(found[1])
    else:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert 2 <= len(slug) <= 63


def test_success_name() -> None:
    for name in ("Acme Corp", "Волна Foods", "x" * 1000):
        validate_name(name)


@pytest.mark.parametrize("name", ["", "  ", "x" * 1001, "a\0b", "a\x1b[2J", "a\nb", "\udcff"])
def test_fail_name(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate_name(name)
    assert caught.value.message == "That can't be a tenant's name."
    assert caught.value.fix == "A name has 1 to 1000 characters, all of which can be printed."


@pytest.mark.parametrize("key", ["", " ", "tnt 1", "x" * 201, "tnt_é", "\udcff", "tnt_1\n"])
def test_fail_scaikey_id(key: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate_scaikey_id(key)
    assert caught.value.message == f"{key!r} can't be the id of a tenant in ScaiKey."
