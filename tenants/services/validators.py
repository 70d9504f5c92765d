"""What a tenant or a partner may be called; `of` says which, in words."""

from __future__ import annotations

import re

from django.utils.text import slugify

from scaiwave.console.output import strip_control_chars
from tenants.errors import InvalidName, InvalidSlug
from tenants.queries.resolve import parse_uuid

SHORTEST, LONGEST = 2, 63
LONGEST_NAME = 1000
LONGEST_SCAIKEY_ID = 200
LONGEST_REASON = 1000

# Words that would be mistaken for a part of an address or of a command.
_RESERVED = """
admin all api app assets auth default federation health help localhost login logout manage media
metrics none null oauth platform public root scaikey scaiwave scim static status support system
undefined v1 well-known ws www
"""
RESERVED = frozenset(_RESERVED.split())
RULES = (
    f"A slug has {SHORTEST} to {LONGEST} characters, only a–z, 0–9 and hyphens; it begins and ends "
    "with a letter or digit and has no two hyphens in a row. It is not shaped like a UUID, and "
    f"none of these words: {', '.join(sorted(RESERVED))}."
)

_WITHOUT_SCAIKEY = {
    "tenant": "it looks like tnt_8f3a. A tenant without ScaiKey is made with --local.",
    "partner": "leave it out for a partner that ScaiKey hasn't.",
}


def check_slug(slug: str, *, of: str = "tenant") -> None:
    """Raises `InvalidSlug`, whose fix says all the rules at once."""
    if wrong := _wrong_with(slug):
        near = _suggestion(slug)
        hint = f"Try {near!r}. " if near else ""
        raise InvalidSlug(f"{slug!r} can't be a {of}'s slug: {wrong}.", fix=hint + RULES)


def check_name(name: str, *, of: str = "tenant") -> None:
    """Raises `InvalidName`."""
    if not name.strip() or len(name) > LONGEST_NAME or strip_control_chars(name) != name:
        raise InvalidName(
            f"That can't be a {of}'s name.",
            fix=f"A name has 1 to {LONGEST_NAME} characters, all of which can be printed.",
        )


def check_reason(reason: str) -> None:
    """Raises `InvalidName`. No reason at all is fine."""
    if len(reason) > LONGEST_REASON or strip_control_chars(reason) != reason:
        raise InvalidName(
            "That can't be kept as a reason.",
            fix=f"A reason has up to {LONGEST_REASON} characters, all of which can be printed.",
        )


def check_scaikey_id(scaikey_id: str, *, of: str = "tenant") -> None:
    """Raises `InvalidName`. ScaiKey's ids are opaque to us, but none has spaces."""
    if not re.fullmatch(rf"[!-~]{{1,{LONGEST_SCAIKEY_ID}}}", scaikey_id):
        raise InvalidName(
            f"{scaikey_id!r} can't be the id of a {of} in ScaiKey.",
            fix=f"Copy the id from ScaiKey; {_WITHOUT_SCAIKEY[of]}",
        )


def _wrong_with(slug: str) -> str:
    """The first rule that the slug breaks, in words; nothing if it keeps them all."""
    strange = re.search(r"[^a-z0-9-]", slug)
    wrongs = (
        (not SHORTEST <= len(slug) <= LONGEST, f"it has {len(slug)} characters"),
        (strange, f"{strange.group()!r} is not allowed in it" if strange else ""),
        (slug.startswith("-") or slug.endswith("-"), "it begins or ends with a hyphen"),
        ("--" in slug, "it has two hyphens in a row"),
        (slug in RESERVED, "the word is reserved"),
        (parse_uuid(slug) is not None, "it looks like an id"),
    )
    return next((words for wrong, words in wrongs if wrong), "")


def _suggestion(slug: str) -> str:
    near = re.sub(r"-{2,}", "-", slugify(slug).replace("_", "-"))[:LONGEST].strip("-")
    return "" if _wrong_with(near) else near
