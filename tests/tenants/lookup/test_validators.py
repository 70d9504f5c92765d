from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import InvalidName, InvalidSlug
from tenants.lookup.validators import (
    RESERVED,
    SLUG_RULES,
    clean_avatar_url,
    validate_name,
    validate_reason,
    validate_scaikey_id,
    validate_slug,
)


def is_accepted(validate: Callable[[str], None], value: str) -> bool:
    try:
        validate(value)
    except (InvalidName, InvalidSlug):
        return False
    return True


@pytest.mark.parametrize("slug", ["ab", "acme", "acme-corp", "4you", "a1", "x" * 63])
def test_success_slug(slug: str) -> None:
    assert is_accepted(validate_slug, slug)


@pytest.mark.parametrize(
    ("slug", "problem", "suggestion"),
    [
        ("", "it has 0 characters", ""),
        ("a", "it has 1 character", ""),
        ("x" * 64, "it has 64 characters", "x" * 63),
        ("Acme", "'A' is not allowed", "acme"),
        ("acme corp", "' ' is not allowed", "acme-corp"),
        ("acme_corp", "'_' is not allowed", "acme-corp"),
        ("zoë", "'ë' is not allowed", "zoe"),
        ("acme\n", r"'\n' is not allowed", "acme"),
        ("-acme", "it begins or ends with a hyphen", "acme"),
        ("acme-", "it begins or ends with a hyphen", "acme"),
        ("ac--me", "it has two hyphens in a row", "ac-me"),
        ("Волна", "'В' is not allowed", ""),
        ("admin", "the word is reserved", ""),
        ("Admin", "'A' is not allowed", ""),
        ("0192f0c4-7d1a-7000-8000-000000000000", "it looks like an ID", ""),
        ("0192f0c47d1a70008000000000000000", "it looks like an ID", ""),
    ],
)
def test_fail_slug(slug: str, problem: str, suggestion: str) -> None:
    with pytest.raises(InvalidSlug) as caught:
        validate_slug(slug)
    assert caught.value.message == f"Invalid slug of a tenant: {slug!r}: {problem}."
    assert caught.value.fix == (f"Try {suggestion!r}. " if suggestion else "") + SLUG_RULES


def test_success_rules_name_every_reserved_word() -> None:
    assert SLUG_RULES.startswith(
        "A slug has 2 to 63 characters: a–z, 0–9 and hyphens. It begins and ends with a letter or "
        "digit, has no two hyphens in a row, and does not look like a UUID. Reserved words: admin, "
        "all, api, "
    )
    assert all(word in SLUG_RULES for word in RESERVED)


@given(slug=st.text(st.sampled_from("ab9-_ Aé"), max_size=70))
def test_success_refused_or_valid(slug: str) -> None:
    try:
        validate_slug(slug)
    except InvalidSlug as refused:
        if suggestion := re.match(r"Try '(.*?)'\. ", refused.fix):
            validate_slug(suggestion[1])
    else:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert 2 <= len(slug) <= 63


def test_success_name() -> None:
    for name in ("Acme Corp", "Волна Foods", "x" * 1000):
        assert is_accepted(validate_name, name)


@pytest.mark.parametrize("name", ["", "  ", "x" * 1001, "a\0b", "a\x1b[2J", "a\nb", "\udcff"])
def test_fail_name(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate_name(name)
    assert caught.value.message == f"Invalid name of a tenant: {name[:100]!r}."
    assert caught.value.fix == "Pass 1 to 1000 printable characters."


@pytest.mark.parametrize(
    "text", ["\u3164", "\u2800 ", "\u115f\u1160", "\ufe0f", "\u034f", "\u200d"]
)
def test_fail_a_text_that_looks_like_nothing(text: str) -> None:
    """The audit log would show a reason that no one can read."""
    assert not is_accepted(validate_name, text)
    assert not is_accepted(validate_reason, text)
    assert is_accepted(validate_reason, f"{text}a")


@pytest.mark.parametrize(
    "reason", ["", "Court order 12", "\u0646\u200c\u0645", "❤\ufe0f", "€", "…"]
)
def test_success_reason(reason: str) -> None:
    assert is_accepted(validate_reason, reason)


@pytest.mark.parametrize("key", ["", " ", "tnt 1", "x" * 201, "tnt_é", "\udcff", "tnt_1\n"])
def test_fail_scaikey_id(key: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate_scaikey_id(key)
    assert caught.value.message == f"Invalid ScaiKey ID of a tenant: {key!r}."


@pytest.mark.parametrize(
    "url",
    [
        "https://old.example/anna.png",
        "https://cdn.old.example:8443/a/%C3%BC.png?size=64&v=[1]#top",
        "HTTPS://Old.Example",
        "https://xn--bcher-kva.example/",
        "https://1.2.example/",
    ],
)
def test_success_avatars_at_public_hosts(url: str) -> None:
    assert clean_avatar_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "//old.example/a.png",
        "/v1/media/019ab000-0000-7000-8000-00000000beef",
        "http://old.example/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "https://[::1",
        # 169.254.169.254 as one number, and other forms in which clients accept an address.
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://1.0x7f/",
        "https://127.1/",
        "https://localhost/a.png",
        "https://api.localhost/a.png",
        "https://metadata.google.internal/",
        "https://printer.local/",
        *(f"https://wiki.{name}/" for name in ("corp", "home", "intranet", "private")),
        "https://wiki.localdomain/",
        "https://intranet/a.png",
        "https://old.example./a.png",
        "https://anna:secret@old.example/a.png",
        "https://old.example\\@intranet/a.png",
        "https://old.example/a.png\n",
        "https://old.example/a\tb",
        " https://old.example/a.png",
        'https://old.example/"><script>',
        "https://öld.example/a.png",
        "https://tan\N{KELVIN SIGN}.example/a.png",
        "https://old.example:99999/",
        "https:///a.png",
        "https://old.example/" + "a" * 981,  # 1001 characters
    ],
)
def test_fail_avatars_anywhere_else(url: str) -> None:
    assert clean_avatar_url(url) == ""


def test_fail_avatars_at_hosts_of_this_server() -> None:
    own = frozenset({"chat.example", "s3.example"})
    for host in ("chat.example", "CHAT.example:8443", "bucket.s3.example"):
        assert clean_avatar_url(f"https://{host}/a.png", own) == ""
    assert clean_avatar_url("https://notchat.example/a.png", own)
