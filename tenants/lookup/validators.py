"""Validate slugs, names, reasons and ScaiKey IDs of tenants, partners and roles."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import urlsplit

from django.utils.text import slugify

from scaiwave.config.server_name import find_server_name
from scaiwave.console.output import strip_control_chars
from scaiwave.console.text import pluralize
from tenants.errors import InvalidName, InvalidRoleSlug, InvalidSlug
from tenants.lookup.resolve import parse_uuid

MIN_SLUG_CHARS, MAX_SLUG_CHARS = 2, 63
MAX_NAME_CHARS = 1000
MAX_SCAIKEY_ID_CHARS = 200
MAX_STORED_REASON_CHARS = 1000
MAX_DESCRIPTION_CHARS = 1000
MAX_AVATAR_URL_CHARS = 1000

# Words that could be mistaken for a part of an address or of a command.
_RESERVED = """
admin all api app assets auth default federation health help localhost login logout manage media
metrics none null oauth platform public root scaikey scaiwave scim static status support system
undefined v1 well-known ws www
"""
RESERVED = frozenset(_RESERVED.split())
SLUG_RULES = (
    f"A slug has {MIN_SLUG_CHARS} to {MAX_SLUG_CHARS} characters: a–z, 0–9 and hyphens. It begins "
    "and ends with a letter or digit, has no two hyphens in a row, and does not look like a UUID. "
    f"Reserved words: {', '.join(sorted(RESERVED))}."
)
ROLE_SLUG_RULES = (
    f"A role's slug has {MIN_SLUG_CHARS} to {MAX_SLUG_CHARS} characters: a–z, 0–9, hyphens and "
    "underscores. It begins and ends with a letter or digit, has no two hyphens or underscores in "
    "a row, and does not look like a UUID."
)

# Letters and symbols by their category: the fillers of Hangul, and the pattern without dots.
BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
# The characters of RFC 3986: others would let a URL end, or mean something else, where it is shown.
_HTTPS_URL = re.compile(r"https://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.IGNORECASE | re.ASCII)
# Names that only a network of its own knows. Browsers read a last label with digits as an address.
_PUBLIC_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)+(?!(?:local|localhost|localdomain|internal|intranet|private|corp|home|lan|"
    r"arpa)$)[a-z][a-z0-9-]+"
)
_ROLE_SLUG_PATTERN = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_ID_HINTS = {
    "tenant": "It looks like tnt_8f3a. To create a local tenant, pass --local instead.",
    "partner": "Omit it to create a local partner.",
}


def validate_slug(slug: str, *, entity: str = "tenant") -> None:
    """Raises `InvalidSlug`, whose fix lists all the rules."""
    if problem := find_slug_problem(slug):
        suggestion = suggest_slug(slug)
        hint = f"Try {suggestion!r}. " if suggestion else ""
        raise InvalidSlug(
            f"Invalid slug of a {entity}: {slug!r}: {problem}.", fix=hint + SLUG_RULES
        )


def validate_name(name: str, *, entity: str = "tenant") -> None:
    """Raises `InvalidName`."""
    if (
        not has_visible_text(name)
        or len(name) > MAX_NAME_CHARS
        or strip_control_chars(name) != name
    ):
        raise InvalidName(
            f"Invalid name of a {entity}: {name[:100]!r}.",
            fix=f"Pass 1 to {MAX_NAME_CHARS} printable characters.",
        )


def has_visible_text(text: str) -> bool:
    """Return whether there is more than spaces, marks and fillers, which look like nothing."""
    return any(unicodedata.category(char)[0] in "LNPS" for char in text if char not in BLANKS)


def validate_reason(reason: str) -> None:
    """Raises `InvalidName`. An empty reason is valid, but not one that no one can see."""
    is_blank = bool(reason) and not has_visible_text(reason)
    if is_blank or len(reason) > MAX_STORED_REASON_CHARS or strip_control_chars(reason) != reason:
        raise InvalidName(
            "The reason is too long or can't be printed.",
            fix=f"Pass up to {MAX_STORED_REASON_CHARS} printable characters.",
        )


def validate_required_reason(reason: str) -> None:
    """Raises `InvalidName`, which an empty reason causes too."""
    validate_reason(reason)
    if not reason:
        raise InvalidName("A reason is required.", fix="Pass --reason with the reason.")


def validate_description(description: str) -> None:
    """Raises `InvalidName`. An empty description is valid."""
    if len(description) > MAX_DESCRIPTION_CHARS or strip_control_chars(description) != description:
        raise InvalidName(
            "The description is too long or can't be printed.",
            fix=f"Pass up to {MAX_DESCRIPTION_CHARS} printable characters.",
        )


def validate_email(address: str, *, entity: str) -> None:
    """Raises `InvalidName`. What counts as an address is left to those who use it."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or strip_control_chars(address) != address:
        raise InvalidName(
            f"Invalid e-mail address of a {entity}: {address[:100]!r}.",
            fix="Pass an address such as ops@example.com.",
        )


def validate_scaikey_id(scaikey_id: str, *, entity: str = "tenant") -> None:
    """Raises `InvalidName`. ScaiKey's IDs are opaque, but they never contain spaces."""
    if not re.fullmatch(rf"[!-~]{{1,{MAX_SCAIKEY_ID_CHARS}}}", scaikey_id):
        raise InvalidName(
            f"Invalid ScaiKey ID of a {entity}: {scaikey_id!r}.",
            fix=f"Copy the ID from ScaiKey. {_ID_HINTS[entity]}",
        )


def validate_role_slug(slug: str) -> None:
    """Raises `InvalidRoleSlug`, whose fix lists all the rules."""
    if not is_role_slug(slug):
        suggestion = re.sub(r"([-_])[-_]+", r"\1", slugify(slug))[:MAX_SLUG_CHARS].strip("-_")
        hint = f"Try {suggestion!r}. " if is_role_slug(suggestion) else ""
        raise InvalidRoleSlug(f"Invalid slug of a role: {slug!r}.", fix=hint + ROLE_SLUG_RULES)


def is_role_slug(slug: str) -> bool:
    """Return whether it has the form of one; `lookalikes` has the reserved ones."""
    has_valid_length = MIN_SLUG_CHARS <= len(slug) <= MAX_SLUG_CHARS
    has_valid_shape = _ROLE_SLUG_PATTERN.fullmatch(slug) is not None
    return has_valid_length and has_valid_shape and parse_uuid(slug) is None


def find_slug_problem(slug: str) -> str:
    """Describe the first rule that the slug breaks, or return an empty text."""
    invalid = re.search(r"[^a-z0-9-]", slug)
    problems = (
        (
            not MIN_SLUG_CHARS <= len(slug) <= MAX_SLUG_CHARS,
            f"it has {pluralize(len(slug), 'character')}",
        ),
        (invalid, f"{invalid.group()!r} is not allowed" if invalid else ""),
        (slug.startswith("-") or slug.endswith("-"), "it begins or ends with a hyphen"),
        ("--" in slug, "it has two hyphens in a row"),
        (slug in RESERVED, "the word is reserved"),
        (parse_uuid(slug) is not None, "it looks like an ID"),
    )
    return next((text for applies, text in problems if applies), "")


def suggest_slug(slug: str) -> str:
    suggestion = re.sub(r"-{2,}", "-", slugify(slug).replace("_", "-"))[:MAX_SLUG_CHARS].strip("-")
    return "" if find_slug_problem(suggestion) else suggestion


def clean_avatar_url(url: str, own_hosts: frozenset[str] = frozenset()) -> str:
    """Return the URL of a picture if it is one that anyone may fetch, else an empty text.

    That is an `https` URL of a public host name without credentials, and not of `own_hosts` or
    their subdomains, where it may be the file of another tenant. The name may still lead to an
    internal address: a server that fetches it must check that itself.
    """
    return _clean_avatar_url(url, own_hosts) if len(url) <= MAX_AVATAR_URL_CHARS else ""


@lru_cache(10_000)
def _clean_avatar_url(url: str, own_hosts: frozenset[str]) -> str:
    if not _HTTPS_URL.fullmatch(url):
        return ""
    try:
        name = find_server_name(urlsplit(url).netloc)
    except ValueError:  # such as a bracket without the other
        return ""
    if name is None or not _PUBLIC_HOST.fullmatch(name.host):
        return ""
    return "" if any(f".{name.host}".endswith(f".{host}") for host in own_hosts) else url
