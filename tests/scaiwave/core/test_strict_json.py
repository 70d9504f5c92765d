from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.core.strict_json import StrictJSONError, loads


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**20, -(10**300), 5 * 10**307])
def test_success_numbers_that_64_bits_or_a_double_hold(number: int) -> None:
    assert loads(str(number).encode()) == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 12_345_678_901_234_567_890, 10**309])
def test_fail_integers_that_are_too_large(number: int) -> None:
    with pytest.raises(StrictJSONError, match=r"^has an integer of more than 64 bits$"):
        loads(str(number).encode())


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_success_every_double_as_postgresql_writes_it(number: float) -> None:
    """Its jsonb keeps decimals, and writes them without an exponent."""
    assert float(loads(f"{Decimal(repr(number)):f}".encode())) == number
