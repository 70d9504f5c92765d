from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from rooms.models import ImportIntent
from scaiwave.config import load
from scaiwave.operations.doctor.findings import Finding, State
from scaiwave.operations.doctor.rooms import check_imports, check_media_store, clean_up_imports
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW


def summarize(findings: Iterator[Finding]) -> list[tuple[State, str]]:
    return [(finding.state, finding.message) for finding in findings]


def test_success_the_store_works_and_the_probe_is_deleted(media_root: Path) -> None:
    media_root.mkdir()
    findings = summarize(check_media_store(load({}), NOW))
    assert findings == [(State.PASS, "The media store is readable and writable.")]
    assert [path for path in media_root.rglob("*") if path.is_file()] == []


def test_success_a_directory_that_does_not_exist_is_not_made(media_root: Path) -> None:
    message = f"The media store is empty; the first import creates {media_root}."
    assert summarize(check_media_store(load({}), NOW)) == [(State.PASS, message)]
    assert not media_root.exists()


def test_fail_a_directory_below_a_file(media_root: Path, settings: Settings) -> None:
    media_root.write_text("in the way")
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": media_root / "media"}},
    }
    (finding,) = check_media_store(load({}), NOW)
    assert (finding.state, finding.code) == (State.FAIL, "SW_MEDIA_STORE_UNUSABLE")
    assert finding.message == f"{media_root / 'media'} can't be created in {media_root}."


def test_fail_a_store_that_is_a_file(media_root: Path) -> None:
    media_root.write_text("in the way")
    (finding,) = check_media_store(load({}), NOW)
    assert (finding.state, finding.code, finding.exit_code) == (
        State.FAIL,
        "SW_MEDIA_STORE_UNUSABLE",
        2,
    )
    assert finding.message.startswith("The media store can't be written to: ")


@pytest.mark.django_db(transaction=True)
def test_success_cleans_up_after_an_interrupted_import(media_root: Path) -> None:
    tenant = row_factories.make_tenant()
    ImportIntent.objects.create(tenant=tenant, hashes=["a" * 64], operator="root", started_at=NOW)
    leftover = media_root / "tenant" / str(tenant.pk) / ("a" * 64)
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    before = (
        "In progress, or interrupted and not cleaned up: 1. "
        "The oldest started at 2026-03-04 05:06 UTC."
    )
    assert summarize(check_imports(load({}), NOW)) == [(State.PASS, before)]
    cleaned_up = "Cleaned up after 1 interrupted import."
    assert summarize(clean_up_imports(load({}), NOW)) == [(State.PASS, cleaned_up)]
    assert not leftover.exists()
    none = "No imports in progress and no leftovers."
    assert summarize(check_imports(load({}), NOW)) == [(State.PASS, none)]
