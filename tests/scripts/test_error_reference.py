"""The page of errors lists every code of the sources, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from identity_sync.errors import RemovalLimitExceeded
from scaiwave.core.errors import (
    DomainError,
    MigrationsPending,
    NotRegistered,
    ScaiWaveError,
    SettingMissing,
)
from scripts import error_reference
from scripts.error_reference import APPS, WordsMissing, by_area, entries

TOP = Path(__file__).resolve().parents[2]


def test_success_every_code_of_the_sources() -> None:
    declared = {
        code
        for app in APPS
        for path in (TOP / app).rglob("*.py")
        for code in re.findall(
            r'^ +code(?:: .*)? = "(SW_[A-Z0-9_]+)"', path.read_text("utf-8"), re.MULTILINE
        )
    }
    assert {entry.code for entry in entries()} == declared
    page = (TOP / "docs/reference/troubleshooting.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `(SW_[A-Z0-9_]+)`", page, re.MULTILINE)) == sorted(declared)


def test_success_words_of_the_class() -> None:
    listed = {entry.code: entry for entry in entries()}
    limit = listed["SW_SYNC_REMOVAL_LIMIT"]
    assert (limit.exit_codes, limit.statuses) == ("1", "400")
    assert limit.meaning.startswith("A plan file has more losses of access than the removal limit")
    assert limit.remedy == RemovalLimitExceeded.remedy
    # Where a class has no remedy, its fix is the advice.
    assert listed["SW_DATABASE_UNMIGRATED"].remedy == MigrationsPending.fix
    assert listed["SW_UPSTREAM_NOT_FOUND"].meaning == "Another server has no such object."


def test_success_the_own_fix_comes_before_an_inherited_remedy() -> None:
    listed = {entry.code: entry for entry in entries()}
    assert listed["SW_CONFIG_MISSING"].remedy == SettingMissing.remedy
    assert listed["SW_SYNC_NOT_REGISTERED"].remedy == NotRegistered.fix


def test_success_a_second_paragraph_is_for_developers() -> None:
    assert list(entries([ScaiWaveError])) == [
        error_reference.Entry(
            "SW_INTERNAL",
            "1",
            "500",
            "A defect of the suite.",
            "[Report it](#when-it-is-a-defect).",
        )
    ]


def test_fail_a_code_without_words() -> None:
    class Undocumented(DomainError):
        code = "SW_USAGE"
        remedy = "Document it."

    with pytest.raises(WordsMissing, match=r"^No docstring, remedy or fix beside SW_USAGE\.$"):
        entries([Undocumented])


def test_fail_a_code_without_advice() -> None:
    class Unadvised(DomainError):
        """An error without advice, which is not that for defects."""

        code = "SW_USAGE"

    with pytest.raises(WordsMissing, match=r"^No docstring, remedy or fix beside SW_USAGE\.$"):
        entries([Unadvised])


def test_fail_a_code_without_an_area() -> None:
    stray = error_reference.Entry("SW_STRAY", "1", "400", "It strays.", "Catch it.")
    with pytest.raises(WordsMissing, match=r"has no area for SW_STRAY\.$"):
        by_area([stray])


def test_success_the_area_is_that_of_the_longest_beginning() -> None:
    areas = {entry.code: title for title, listed in by_area(entries()).items() for entry in listed}
    assert areas["SW_NOT_MEMBER"] == "Rooms and search"
    assert areas["SW_NOT_FOUND"] == "The HTTP API"
    assert areas["SW_ROLE_NOT_FOUND"] == "Tenants, people and roles"
    assert areas["SW_INTERNAL"] == "Defects"
    assert areas["SW_INTERRUPTED"] == "The command line"


def test_success_links_lead_to_the_directory_of_the_page() -> None:
    linked = error_reference.link_pages("[a](configuration.md), [b](sync.md#slugs), [c](https://x)")
    assert linked == "[a](configuration.md), [b](../explanation/sync.md#slugs), [c](https://x)"


def test_fail_a_link_to_no_page() -> None:
    with pytest.raises(WordsMissing, match=r"^An error links to none\.md, which is not a page"):
        error_reference.link_pages("[a](none.md)")
