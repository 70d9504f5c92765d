"""AI tokens in list-tenants: those of this month, their age, and tenants near their cap."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.models import Tenant, TokenUsage
from tenants.people.queries.tenants import list_tenants
from tenants.people.queries.token_usage import UsageSummary, cap_fraction, format_row
from tests.tenants.factories import HOST_OPERATOR, NOW, make_tenant, read_outputs

pytestmark = pytest.mark.dated


def use(tenant: Tenant, tokens: int, **changes: Any) -> None:
    values = {"month": date(2026, 11, 1), "fetched_at": NOW, "total_tokens": tokens, **changes}
    TokenUsage.objects.create(tenant=tenant, **values)


def row(slug: str, tokens: int | None = 1, age: int = 0, share: float | None = None) -> Any:
    fetched = None if tokens is None else NOW - timedelta(minutes=age)
    return {
        "slug": slug,
        "ai_tokens_month": tokens,
        "ai_tokens_fetched_at": fetched,
        "ai_tokens_share": share,
    }


@pytest.mark.django_db
def test_success_only_this_month_with_its_age_and_share() -> None:
    acme = make_tenant("acme", max_ai_tokens_month=100_000)
    use(acme, 91_000, fetched_at=NOW - timedelta(minutes=12))
    use(acme, 5, month=date(2026, 10, 1))
    late = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)
    columns = ("ai_tokens_month", "ai_tokens_share", "ai_tokens_fetched_at")
    (now,) = list_tenants(operator=HOST_OPERATOR, now=NOW)
    assert [now[name] for name in columns] == [91_000, 0.91, NOW - timedelta(minutes=12)]
    (then,) = list_tenants(operator=HOST_OPERATOR, now=late)
    assert then["ai_tokens_month"] == 5
    (next_month,) = list_tenants(operator=HOST_OPERATOR, now=NOW + timedelta(days=7))
    assert [next_month[name] for name in columns] == [None, None, None]


@pytest.mark.django_db
def test_success_text_output() -> None:
    month = datetime.now(UTC).date().replace(day=1)
    fetched = {"month": month, "fetched_at": datetime.now(UTC)}
    use(make_tenant("acme", max_ai_tokens_month=100_000), 91_000, **fetched)
    use(make_tenant("lab"), 5, **fetched)
    out, err = read_outputs("list_tenants")
    lines = out.splitlines()
    end = lines[0].index("  Status")
    assert [line[end - 15 : end] for line in lines] == [
        "  AI tokens MTD",
        "   91,000 (91%)",
        " " * 14 + "5",
    ]
    assert err == (
        "AI tokens were fetched from ScaiGrid, just now.\n"
        "Warning: Over 80% of this month's AI tokens are used by acme (91%).\n"
    )


def test_success_tenants_over_80_percent_are_marked() -> None:
    rows = [row("a", 91_000, share=0.91), row("b", 80, share=0.8), row("c", 7), row("d", None)]
    shown = [format_row(each)["ai_tokens_month"] for each in rows]
    assert shown == ["91,000 (91%)", 80, 7, None]


def test_success_the_highest_are_named_and_the_rest_counted() -> None:
    assert UsageSummary([row("a", share=0.5), row("b")]).format_warning() is None
    rows = [row(f"t{number}", share=0.9 + number) for number in range(12)]
    warning = UsageSummary(rows).format_warning()
    assert warning is not None
    assert warning.startswith("Over 80% of this month's AI tokens are used by t11 (1,190%), t10 (")
    assert warning.endswith("t2 (290%) and 2 more.")


@pytest.mark.parametrize(
    ("ages", "text"),
    [
        ([], None),
        ([0], "AI tokens were fetched from ScaiGrid, just now."),
        ([12, 12], "AI tokens were fetched from ScaiGrid, 12 minutes ago."),
        ([12, 80], "AI tokens were fetched from ScaiGrid, the oldest 1 hour, 20 minutes ago."),
        (
            [180],
            "AI tokens were fetched from ScaiGrid, 3 hours ago. "
            "Run `scaiwave admin refresh-usage` to update them.",
        ),
        (
            [12, -9000],
            "AI tokens were fetched from ScaiGrid while a clock was ahead; check this host's. "
            "Run `scaiwave admin refresh-usage` to update them.",
        ),
    ],
)
def test_success_age(ages: list[int], text: str | None) -> None:
    rows = [row("none", None), *(row(f"t{age}", age=age) for age in ages)]
    assert UsageSummary(rows).format_age(NOW) == text


@given(tokens=st.integers(0, 2**63 - 1), cap=st.integers(1, 2**63 - 1))
def test_success_a_share_never_reaches_100_percent_too_early(tokens: int, cap: int) -> None:
    share = cap_fraction(tokens, cap)
    assert share is not None
    assert (share >= 1) is (tokens >= cap)


def test_success_a_share_without_a_cap_and_of_none() -> None:
    assert cap_fraction(7, None) is None
    assert (cap_fraction(0, 0), cap_fraction(1, 0)) == (0.0, 1.0)
