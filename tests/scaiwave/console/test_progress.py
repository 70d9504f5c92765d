from __future__ import annotations

from io import StringIO

import pytest

from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.rich_output import print_rich_table

ID = "01a20f2b-4abc-71af-816e-0bab5a1b7229"
COLUMNS = (
    Column("id", "Id", no_wrap=True),
    Column("name", "Name"),
    Column("state", "State", optional=True),
    Column("events", "Events", ColumnType.COUNT, optional=True),
)
CELLS = [[ID, "A name that is rather long", "open", "3,000"]]


def drawn(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = StringIO()
    print_rich_table(COLUMNS, CELLS, stream)
    return stream.getvalue()


def test_success_a_wide_terminal_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = drawn(monkeypatch, 120)
    assert all(text in shown for text in CELLS[0])
    assert "wider" not in shown


def test_success_a_narrow_terminal_omits_optional_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the last one on, and no more than has to go."""
    shown = drawn(monkeypatch, 78)
    assert "open" in shown
    assert "3,000" not in shown
    assert "A wider terminal also shows: Events.\n" in shown


def test_success_a_very_narrow_terminal_folds_all_but_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = drawn(monkeypatch, 50)
    assert ID in shown
    assert "rather long" not in shown
    assert "shows: State, Events." in shown


def test_success_a_number_stays_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = StringIO()
    columns = (Column("name", "Name"), Column("tokens", "AI tokens", ColumnType.COUNT))
    print_rich_table(columns, [["A name that is rather long", "185,642,104,218 (91%)"]], stream)
    assert " 185,642,104,218 (91%) \n" in stream.getvalue()
