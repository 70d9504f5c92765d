from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rooms.models import ImportIntent
from rooms.queries.health import check_imports, check_media_store, clean_up_imports
from scaiwave.config import load
from scaiwave.doctor.findings import Finding, State
from tests.scaiwave import rows
from tests.scaiwave.rows import NOW


def said(findings: Iterator[Finding]) -> list[tuple[State, str]]:
    return [(finding.state, finding.message) for finding in findings]


def test_success_a_store_that_works_keeps_nothing_of_it(media_root: Path) -> None:
    findings = said(check_media_store(load({}), NOW))
    assert findings == [(State.PASS, "The media store keeps what is put there.")]
    assert [path for path in media_root.rglob("*") if path.is_file()] == []


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
def test_success_what_a_killed_import_left_is_taken_away(media_root: Path) -> None:
    tenant = rows.tenant()
    ImportIntent.objects.create(tenant=tenant, hashes=["a" * 64], operator="root", started_at=NOW)
    left = media_root / "tenant" / str(tenant.pk) / ("a" * 64)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    before = "1 under way, or killed and not tidied up, the oldest since 2026-03-04 05:06 UTC."
    assert said(check_imports(load({}), NOW)) == [(State.PASS, before)]
    took = "Took away what 1 killed imports had left."
    assert said(clean_up_imports(load({}), NOW)) == [(State.PASS, took)]
    assert not left.exists()
    none = "None under way, and nothing left behind."
    assert said(check_imports(load({}), NOW)) == [(State.PASS, none)]
