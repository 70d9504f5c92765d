from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from scaiwave.core.sql import batched, datetime_param, fetch_one, is_distinct, to_uuid, uuid_param
from tenants.models import Tenant

KEY = UUID("0190a8f4-2f6b-7c1e-9a53-5b1f8a1d2c3e")


@pytest.mark.django_db
@pytest.mark.parametrize("value", [KEY, str(KEY), KEY.hex])
def test_a_uuid_and_a_time_reach_the_database_and_come_back(value: UUID | str) -> None:
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    Tenant.objects.create(
        pk=KEY,
        name="Acme",
        slug="acme",
        created_at=noon,
        updated_at=noon,
        suspended_by_hand_at=noon,
    )
    key, *_ = fetch_one(
        "SELECT id FROM sw_tenants WHERE id = %s AND suspended_by_hand_at = %s",
        [uuid_param(value), datetime_param(noon)],
    )
    assert to_uuid(key) == KEY


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("left", "right", "differs"),
    [("1", "1", False), ("1", "2", True), ("1", "NULL", True), ("NULL", "NULL", False)],
)
def test_is_distinct_takes_null_for_a_value(left: str, right: str, differs: bool) -> None:
    sql = f"SELECT CASE WHEN {is_distinct(left, right)} THEN 1 ELSE 0 END"
    assert fetch_one(sql) == (int(differs),)


def test_batched_yields_full_lists_and_the_rest() -> None:
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
