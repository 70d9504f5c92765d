"""The page of errors says everything an error can be, and nothing that none is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from identity_sync.errors import RemovalLimitExceeded
from scripts import error_reference
from scripts.error_reference import APPS, WordsMissing, by_area, entries
from scripts.remedies import REMEDIES

TOP = Path(__file__).resolve().parents[2]


def test_success_every_code_of_the_sources() -> None:
    declared = {
        code
        for app in APPS
        for path in (TOP / app).rglob("*.py")
        for code in re.findall(
            r'^ +code(?:: .*)? = "(SW_[A-Z_]+)"', path.read_text("utf-8"), re.MULTILINE
        )
    }
    assert {entry.code for entry in entries()} == declared
    page = (TOP / "docs/reference/troubleshooting.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `(SW_[A-Z_]+)`", page, re.MULTILINE)) == sorted(declared)


def test_success_words_of_the_class_and_of_the_hand() -> None:
    found = {entry.code: entry for entry in entries()}
    limit = found["SW_SYNC_REMOVAL_LIMIT"]
    assert (limit.exit_codes, limit.statuses) == ("1", "400")
    assert limit.meaning.startswith("More would lose access than the removal limit allows.")
    assert limit.remedy == RemovalLimitExceeded.remedy
    # A second paragraph of a docstring is for developers.
    assert found["SW_NAME_AMBIGUOUS"].meaning == REMEDIES["SW_NAME_AMBIGUOUS"][0]
    assert found["SW_UPSTREAM_NOT_FOUND"].meaning == "The other server has no such thing."


def test_fail_a_code_without_words() -> None:
    poorer = {code: words for code, words in REMEDIES.items() if code != "SW_USAGE"}
    with pytest.raises(WordsMissing, match=r"^scripts/remedies lacks words for SW_USAGE\.$"):
        entries(poorer)


def test_fail_words_without_a_code() -> None:
    richer = {**REMEDIES, "SW_NO_SUCH": ("It is not.", "Leave it out.")}
    with pytest.raises(WordsMissing, match="has words for SW_NO_SUCH, which no error has"):
        entries(richer)


def test_fail_a_code_without_an_area() -> None:
    stray = error_reference.Entry("SW_STRAY", "1", "400", "It strays.", "Catch it.")
    with pytest.raises(WordsMissing, match=r"has no area for SW_STRAY\.$"):
        by_area([stray])


def test_success_the_area_is_that_of_the_longest_beginning() -> None:
    areas = {entry.code: title for title, listed in by_area(entries()).items() for entry in listed}
    assert areas["SW_NOT_MEMBER"] == "Rooms"
    assert areas["SW_NOT_FOUND"] == "The HTTP API"
    assert areas["SW_ROLE_NOT_FOUND"] == "Roles"
    assert areas["SW_INTERNAL"] == "Defects"
    assert areas["SW_INTERRUPTED"] == "The command line"


def test_success_links_lead_to_the_directory_of_the_page() -> None:
    linked = error_reference.link_pages("[a](configuration.md), [b](sync.md#slugs), [c](https://x)")
    assert linked == "[a](configuration.md), [b](../explanation/sync.md#slugs), [c](https://x)"


def test_fail_a_link_to_no_page() -> None:
    with pytest.raises(WordsMissing, match=r"^An error links to none\.md, which is not a page"):
        error_reference.link_pages("[a](none.md)")
