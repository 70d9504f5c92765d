from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scaiwave.clients.http.retry import parse_http_date

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_success(zone: str) -> None:
    assert parse_http_date(f"Tue, 24 Nov 2026 12:00:00 {zone}") == NOON


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        ",",
        "yesterday",
        "Tue, 99 Nov 2026 12:00:00 GMT",
        "Tue, 24 Nov 99999999999999999999 12:00:00 GMT",
        "Tue, 24 Nov 2026 12:00:00 +9999999999999",
        "Tue, 24 Nov 2026 12:00:00 +2400",
    ],
)
def test_fail_no_date(text: str | None) -> None:
    assert parse_http_date(text) is None
