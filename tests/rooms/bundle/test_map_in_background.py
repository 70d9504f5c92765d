from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rooms.bundle.archive.writer import map_in_background


def _twice(number: int) -> int:
    return 2 * number


def test_success_results_come_in_the_order_of_the_items() -> None:
    assert list(map_in_background(_twice, range(100))) == [2 * number for number in range(100)]


def test_success_no_items_give_no_results() -> None:
    assert list(map_in_background(_twice, [])) == []


def test_success_a_single_item_needs_no_thread() -> None:
    assert list(map_in_background(lambda _: threading.get_ident(), [1])) == [threading.get_ident()]


def test_success_an_item_is_produced_while_the_previous_one_is_processed() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield from (1, 2)
        made.set()
        yield 3

    assert list(map_in_background(lambda item: item == 1 or made.wait(10), items())) == [True] * 3


def test_fail_error_of_a_function_comes_after_the_previous_results() -> None:
    def work(item: int) -> int:
        return 6 // item

    found = map_in_background(work, [1, 2, 0, 3])
    assert [next(found), next(found)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_fail_error_of_the_items_leaves_no_thread() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="gone"):
        list(map_in_background(_twice, items()))
    assert threading.active_count() == before


def test_success_closing_early_leaves_no_thread() -> None:
    before = threading.active_count()
    found = map_in_background(_twice, range(10))
    assert [next(found), next(found)] == [0, 2]
    found.close()
    assert threading.active_count() == before
