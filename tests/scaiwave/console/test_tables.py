"""Pictures of the main lists at terminals of 60, 80 and 120 columns.

A changed picture is written beside the expected one, as `<list>.txt.new`: rename it if it is right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.management import get_commands, load_command_class

from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import EMPTY_CELL
from scaiwave.console.rich_output import print_rich_table
from scaiwave.console.text import display_width

WIDTHS = (60, 80, 120)
TABLES = Path(__file__).with_name("tables")
LISTS: dict[str, dict[str, Any]] = json.loads((TABLES / "rows.json").read_text("utf-8"))
"""Of each picture: its command, the options that choose columns, and the rows."""


@pytest.mark.parametrize("name", LISTS)
def test_success_pictures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command_name, options, rows = LISTS[name].values()
    command = cast(ListCommand, load_command_class(get_commands()[command_name], command_name))
    values = {each.name: options.get(each.name) for each in fields(command.arguments)}
    columns = command.get_columns(command.arguments(**values))
    assert {key for row in rows for key in row} <= {column.key for column in columns}
    cells = [[row.get(column.key, EMPTY_CELL) for column in columns] for row in rows]
    pictures = []
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        stream = StringIO()
        print_rich_table(columns, cells, stream, sort=options.get("sort", ""))
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        assert max(map(display_width, lines)) <= width
        assert_words_are_whole(lines, cells)
        pictures += [f"{width} ".ljust(width, "="), *lines]
    expected = TABLES / f"{name}.txt"
    shown = "\n".join(pictures).rstrip() + "\n"
    if not expected.is_file() or expected.read_text(encoding="utf-8") != shown:
        expected.with_suffix(".txt.new").write_text(shown, encoding="utf-8")
        pytest.fail(f"The table looks different:\n{shown}")


def assert_words_are_whole(lines: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    known = {word for line in cells for cell in line for word in cell.split()}
    for piece in {piece for line in lines for piece in line.split()} - known:
        broken = [word for word in known if len(piece) > 5 and word.startswith(piece)]
        assert not broken, f"{broken} is broken"
