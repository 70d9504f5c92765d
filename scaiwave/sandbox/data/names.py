"""Names of the sample people, tenants, groups and partners, in several scripts.

Each personal name has a spelling for e-mail addresses. The names are invented; all mail domains end
in `.example`, which is reserved (RFC 2606).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import msgspec


class NameLocale(NamedTuple):
    """`given` and `family` hold `name=spelling in e-mail addresses` pairs.

    `family_first` is the order in the display name.
    """

    given: str
    family: str
    family_first: bool


def _read_table(kind: str) -> list[list[str]]:
    """Return the lines of this kind in `names.tsv`, without the column that names it."""
    lines = Path(__file__).with_name("names.tsv").read_text(encoding="utf-8").splitlines()
    columns = (line.split("\t") for line in lines)
    return [rest for first, *rest in columns if first == kind]


LOCALES = tuple(
    NameLocale(given, family, order == "family first")
    for order, given, family in _read_table("locale")
)
GROUP_NAMES, COMPANY_NAMES, COMPANY_SLUGS, COMPANY_SUFFIXES, PARTNER_NAMES = (
    _read_table(kind)[0][0].split(";")
    for kind in (
        *("group_names", "company_names", "company_slugs"),
        *("company_suffixes", "partner_names"),
    )
)


class SpelledName(NamedTuple):
    """A full name as JSON members with and without display name, and as an e-mail local part."""

    full: str
    plain: str
    local: str


@functools.cache
def build_names(locale_index: int) -> tuple[SpelledName, ...]:
    """Return every given name with every family name of one locale, encoded once per process."""
    locale = LOCALES[locale_index]
    return tuple(
        _build_name(locale, given.partition("="), family.partition("="))
        for given in locale.given.split(";")
        for family in locale.family.split(";")
    )


def _build_name(
    locale: NameLocale, given: tuple[str, str, str], family: tuple[str, str, str]
) -> SpelledName:
    names = {"first_name": given[0], "last_name": family[0]}
    display_name = (family[0] + given[0]) if locale.family_first else f"{given[0]} {family[0]}"
    return SpelledName(
        _encode_members({**names, "display_name": display_name}),
        _encode_members(names),
        f"{given[2]}.{family[2]}",
    )


def _encode_members(fields: dict[str, str]) -> str:
    """Return a JSON object without its braces, to be inserted into another one."""
    return msgspec.json.encode(fields).decode()[1:-1]


def number_word(words: list[str], position: int, separator: str = " ") -> str:
    """Return the word at `position`, from the second round on with the round's number appended."""
    round_, offset = divmod(position, len(words))
    return words[offset] if not round_ else f"{words[offset]}{separator}{round_ + 1}"


def build_tenant_name(position: int) -> tuple[str, str]:
    """Return name and slug of a tenant; slugs are distinct for any number of tenants."""
    suffix = COMPANY_SUFFIXES[
        (position * 5 + position // len(COMPANY_NAMES)) % len(COMPANY_SUFFIXES)
    ]
    name = number_word(COMPANY_NAMES, position)
    return f"{name} {suffix}", number_word(COMPANY_SLUGS, position, "-")


def build_partner_name(position: int) -> tuple[str, str]:
    name = number_word(PARTNER_NAMES, position)
    return f"{name} Partners", name.lower().replace(" ", "-")
