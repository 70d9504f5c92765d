"""What a role may be called, and the roles that every tenant has.

The built-in roles are the three that ScaiKey's tokens know (ScaiKey docs,
concepts/tokens-and-scopes). Each tenant has them from the start: they are listed always, and their
row is made when one is first granted. What a token allows in this suite comes from the token
alone; a role held here is what the platform's servers read.
"""

from __future__ import annotations

import re

from django.utils.text import slugify

from scaiwave.console.output import strip_control_chars
from tenants.errors import InvalidName, InvalidRoleSlug
from tenants.queries.resolve import parse_uuid
from tenants.queries.roles import BUILT_IN

SHORTEST, LONGEST = 2, 63
LONGEST_NAME = 1000
RULES = (
    f"A role's slug has {SHORTEST} to {LONGEST} characters, only a–z, 0–9, hyphens and "
    "underscores; it begins and ends with a letter or digit and has no two hyphens or underscores "
    "in a row. It is not shaped like a UUID."
)

_SHAPE = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


def validate_role_slug(slug: str) -> None:
    """Raises `InvalidRoleSlug`, whose fix says all the rules at once."""
    if not is_role_slug(slug):
        near = re.sub(r"([-_])[-_]+", r"\1", slugify(slug))[:LONGEST].strip("-_")
        hint = f"Try {near!r}. " if is_role_slug(near) else ""
        raise InvalidRoleSlug(f"{slug!r} can't be the slug of a role.", fix=hint + RULES)


def is_role_slug(slug: str) -> bool:
    """No word is reserved: a role stands in no address, and `admin` or `support` are fair names."""
    shaped = _SHAPE.fullmatch(slug) is not None and SHORTEST <= len(slug) <= LONGEST
    return shaped and parse_uuid(slug) is None


def default_role_name(slug: str) -> str:
    """The name of a role of which only the slug is known."""
    return BUILT_IN.get(slug, slug)


def check_role_name(name: str) -> None:
    """Raises `InvalidName`."""
    if not name.strip() or len(name) > LONGEST_NAME or strip_control_chars(name) != name:
        raise InvalidName(
            "That can't be the name of a role.",
            fix=f"A name has 1 to {LONGEST_NAME} characters, all of which can be printed.",
        )
