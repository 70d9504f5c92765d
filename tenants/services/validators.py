"""What a tenant or a partner may be called; `of` says which, in words."""

from __future__ import annotations

import re

from django.utils.text import slugify

from scaiwave.console.output import strip_control_chars
from tenants.errors import InvalidName, InvalidRoleSlug, InvalidSlug
from tenants.queries.resolve import parse_uuid
from tenants.queries.roles import BUILT_IN

MIN_SLUG_CHARS, MAX_SLUG_CHARS = 2, 63
MAX_NAME_CHARS = 1000
MAX_SCAIKEY_ID_CHARS = 200
MAX_REASON_CHARS = 1000

# Words that would be mistaken for a part of an address or of a command.
_RESERVED = """
admin all api app assets auth default federation health help localhost login logout manage media
metrics none null oauth platform public root scaikey scaiwave scim static status support system
undefined v1 well-known ws www
"""
RESERVED = frozenset(_RESERVED.split())
SLUG_RULES = (
    f"A slug has {MIN_SLUG_CHARS} to {MAX_SLUG_CHARS} characters: a–z, 0–9 and hyphens. It begins "
    "and ends with a letter or digit, has no two hyphens in a row, does not look like a UUID, and "
    f"is none of these reserved words: {', '.join(sorted(RESERVED))}."
)

_LOCAL_HINTS = {
    "tenant": "it looks like tnt_8f3a. A tenant without ScaiKey is made with --local.",
    "partner": "leave it out for a partner that ScaiKey hasn't.",
}


def validate_slug(slug: str, *, of: str = "tenant") -> None:
    """Raises `InvalidSlug`, whose fix says all the rules at once."""
    if wrong := _find_slug_problem(slug):
        near = _suggest_slug(slug)
        hint = f"Try {near!r}. " if near else ""
        raise InvalidSlug(f"{slug!r} can't be a {of}'s slug: {wrong}.", fix=hint + SLUG_RULES)


def validate_name(name: str, *, of: str = "tenant") -> None:
    """Raises `InvalidName`."""
    if not name.strip() or len(name) > MAX_NAME_CHARS or strip_control_chars(name) != name:
        raise InvalidName(
            f"That can't be a {of}'s name.",
            fix=f"A name has 1 to {MAX_NAME_CHARS} characters, all of which can be printed.",
        )


def validate_reason(reason: str) -> None:
    """Raises `InvalidName`. No reason at all is fine."""
    if len(reason) > MAX_REASON_CHARS or strip_control_chars(reason) != reason:
        raise InvalidName(
            "That can't be kept as a reason.",
            fix=f"A reason has up to {MAX_REASON_CHARS} characters, all of which can be printed.",
        )


def validate_scaikey_id(scaikey_id: str, *, of: str = "tenant") -> None:
    """Raises `InvalidName`. ScaiKey's ids are opaque to us, but none has spaces."""
    if not re.fullmatch(rf"[!-~]{{1,{MAX_SCAIKEY_ID_CHARS}}}", scaikey_id):
        raise InvalidName(
            f"{scaikey_id!r} can't be the id of a {of} in ScaiKey.",
            fix=f"Copy the id from ScaiKey; {_LOCAL_HINTS[of]}",
        )


def _find_slug_problem(slug: str) -> str:
    """The first rule that the slug breaks, in words; nothing if it keeps them all."""
    strange = re.search(r"[^a-z0-9-]", slug)
    wrongs = (
        (not MIN_SLUG_CHARS <= len(slug) <= MAX_SLUG_CHARS, f"it has {len(slug)} characters"),
        (strange, f"{strange.group()!r} is not allowed in it" if strange else ""),
        (slug.startswith("-") or slug.endswith("-"), "it begins or ends with a hyphen"),
        ("--" in slug, "it has two hyphens in a row"),
        (slug in RESERVED, "the word is reserved"),
        (parse_uuid(slug) is not None, "it looks like an id"),
    )
    return next((words for wrong, words in wrongs if wrong), "")


def _suggest_slug(slug: str) -> str:
    near = re.sub(r"-{2,}", "-", slugify(slug).replace("_", "-"))[:MAX_SLUG_CHARS].strip("-")
    return "" if _find_slug_problem(near) else near


MIN_ROLE_SLUG_CHARS, MAX_ROLE_SLUG_CHARS = 2, 63
MAX_ROLE_NAME_CHARS = 1000
ROLE_SLUG_RULES = (
    f"A role's slug has {MIN_ROLE_SLUG_CHARS} to {MAX_ROLE_SLUG_CHARS} characters: a–z, 0–9, "
    "hyphens and underscores. It begins and ends with a letter or digit, has no two hyphens or "
    "underscores in a row, and does not look like a UUID."
)

_ROLE_SLUG_PATTERN = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


def validate_role_slug(slug: str) -> None:
    """Raises `InvalidRoleSlug`, whose fix says all the rules at once."""
    if not is_role_slug(slug):
        near = re.sub(r"([-_])[-_]+", r"\1", slugify(slug))[:MAX_ROLE_SLUG_CHARS].strip("-_")
        hint = f"Try {near!r}. " if is_role_slug(near) else ""
        raise InvalidRoleSlug(f"{slug!r} can't be the slug of a role.", fix=hint + ROLE_SLUG_RULES)


def is_role_slug(slug: str) -> bool:
    """No word is reserved: a role stands in no address, and `admin` or `support` are fair names."""
    shaped = (
        _ROLE_SLUG_PATTERN.fullmatch(slug) is not None
        and MIN_ROLE_SLUG_CHARS <= len(slug) <= MAX_ROLE_SLUG_CHARS
    )
    return shaped and parse_uuid(slug) is None


def default_role_name(slug: str) -> str:
    """The name of a role of which only the slug is known."""
    return BUILT_IN.get(slug, slug)


def validate_role_name(name: str) -> None:
    """Raises `InvalidName`."""
    if not name.strip() or len(name) > MAX_ROLE_NAME_CHARS or strip_control_chars(name) != name:
        raise InvalidName(
            "That can't be the name of a role.",
            fix=f"A name has 1 to {MAX_ROLE_NAME_CHARS} characters, all of which can be printed.",
        )
