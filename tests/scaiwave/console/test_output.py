from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.console.output import (
    Output,
    format_bytes,
    get_timezone,
    strip_control_chars,
    to_json,
)
from scaiwave.console.rich_output import print_rich_table
from scaiwave.console.text import display_width, is_terminal
from scaiwave.core.errors import SettingInvalid, UsageError
from tests.scaiwave.cli_helpers import run_at_terminal, run_example

LIST = ("admin", "list-tenants")
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
COLUMNS = (Column("name", "Name"), Column("size", "Size", ColumnType.BYTES))


def steers(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in BIDI


def written(**options: Any) -> tuple[Output, io.StringIO, io.StringIO]:
    stdout, stderr = io.StringIO(), io.StringIO()
    return Output(stdout, stderr, **options), stdout, stderr


@given(st.text())
def test_success_printable_removes_control_characters(text: str) -> None:
    shown = strip_control_chars(text)
    assert not any(map(steers, shown))
    assert len(shown) == len(text)


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_success_printable_keeps_names(text: str) -> None:
    assert strip_control_chars(text) == text


def test_success_printable_keeps_joiners() -> None:
    assert strip_control_chars("می\u200cخواهم 👩\u200d💻") == "می\u200cخواهم 👩\u200d💻"


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda of: st.dictionaries(st.text(), of))
)
def test_success_json_escapes_control_characters_and_keeps_the_value(value: Any) -> None:
    text = to_json(value, indent=None)
    assert not any(map(steers, text))
    assert json.loads(text) == value


def test_success_json_values() -> None:
    moment = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=1)))
    value = {"at": moment, "id": UUID(int=1), "kind": ColumnType.TEXT, "name": "Ünï"}
    assert json.loads(to_json(value)) == {
        "at": "2026-03-01T11:00:00Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "kind": "text",
        "name": "Ünï",
    }
    assert "Ünï" in to_json(value)


def test_fail_json_of_something_else() -> None:
    with pytest.raises(TypeError, match=r"\Aset has no JSON form\Z"):
        to_json(set())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**3, "1.0 GiB"),
        (5000 * 1024**4, "5,000.0 TiB"),
    ],
)
def test_success_human_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.text(st.sampled_from("aé日本한ﾊñ\u0301आ中字Ωж👍")))
def test_success_width_is_that_of_a_terminal(text: str) -> None:
    assert display_width(text) == cell_len("".join(text))


def test_success_plain_table_aligns_wide_characters() -> None:
    output, stdout, _ = written()
    rows: list[Row] = [
        {"name": "日本", "size": 1024},
        {"name": "Zoe\u0301", "size": 5},
        {"name": None},
    ]
    output.print_table("tenants", COLUMNS, rows)
    assert stdout.getvalue() == (
        "Name     Size\n日本  1.0 KiB\nZoe\u0301       5 B\n-           -\n"
    )


def test_success_json_listing_has_every_key() -> None:
    output, stdout, stderr = written(as_json=True)
    output.print_table("tenants", COLUMNS, [{"name": "a", "size": 1024, "more": True}])
    output.log("talk")
    output.warn("warning")
    output.print_line("line")
    assert json.loads(stdout.getvalue()) == {"tenants": [{"name": "a", "size": 1024, "more": True}]}
    assert stderr.getvalue() == ""


def test_success_empty_listing() -> None:
    output, stdout, stderr = written()
    output.print_table("sync_runs", COLUMNS, [])
    assert (stdout.getvalue(), stderr.getvalue()) == ("", "No sync runs.\n")
    output, stdout, _ = written(as_json=True)
    output.print_table("sync_runs", COLUMNS, [])
    assert json.loads(stdout.getvalue()) == {"sync_runs": []}


def test_success_record() -> None:
    columns = (
        Column("name", "Name"),
        Column("at", "Last change", ColumnType.TIME),
        Column("admin", "Admin", ColumnType.FLAG),
        Column("groups", "Groups"),
        Column("none", "None"),
        Column("rooms", "Rooms", ColumnType.COUNT),
    )
    row = {
        "name": "A\x1bnna",
        "at": datetime(2026, 7, 1, 12, tzinfo=UTC),
        "admin": False,
        "groups": ["a", "b\x07"],
        "none": [],
        "rooms": 12345,
    }
    output, stdout, _ = written(zone=ZoneInfo("Europe/Amsterdam"))
    output.print_record(columns, row)
    assert stdout.getvalue() == (
        "Name         A\N{REPLACEMENT CHARACTER}nna\n"
        "Last change  2026-07-01 14:00:00 CEST\n"
        "Admin        no\n"
        "Groups       a, b\N{REPLACEMENT CHARACTER}\n"
        "None         -\n"
        "Rooms        12,345\n"
    )


@pytest.mark.parametrize(
    ("moment", "zone", "shown"),
    [
        (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo", "9999-12-31 23:59:59 UTC"),
        (datetime.min.replace(tzinfo=UTC), "America/New_York", "0001-01-01 00:00:00 UTC"),
        (datetime(801, 7, 1, 12, tzinfo=UTC), "UTC", "0801-07-01 12:00:00 UTC"),
    ],
)
def test_success_earliest_and_latest_times(moment: datetime, zone: str, shown: str) -> None:
    """A room name may contain them, and must not break the table."""
    output, stdout, _ = written(zone=ZoneInfo(zone))
    output.print_record((Column("at", "At", ColumnType.TIME),), {"at": moment})
    assert stdout.getvalue() == f"At  {shown}\n"


def test_success_failure() -> None:
    output, _, stderr = written()
    output.print_error(UsageError("What.", fix="How."))
    output.print_error(UsageError("What."))
    assert stderr.getvalue() == "Error: What. [SW_USAGE]\n  Fix: How.\nError: What. [SW_USAGE]\n"


def test_success_json_where_the_stream_is_not_utf8() -> None:
    ended = run_example(*LIST, "--json", PYTHONIOENCODING="latin-1")
    assert ended.out.isascii()
    assert json.loads(ended.out)["tenants"][1]["slug"] == "日本"


def test_success_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_timezone("Europe/Amsterdam") == ZoneInfo("Europe/Amsterdam")
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert get_timezone("") == ZoneInfo("Asia/Tokyo")
    monkeypatch.setenv("TZ", "nonsense")
    assert get_timezone("") == UTC


@pytest.mark.parametrize("name", ["Nowhere/Land", "../etc/passwd", "Europe"])
def test_fail_unknown_zone(name: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        get_timezone(name)
    assert caught.value.message == f"Time zone not found: {name}."


def test_success_no_control_characters_in_a_pipe() -> None:
    ended = run_example(*LIST)
    assert ended.out == (
        "Slug  Name                    Storage\n"
        "acme  Acme [bold]Corp[/bold]  2.0 KiB\n"
        "日本  evil �[2J�gnp.exe�31m         -\n"
    )


def test_success_no_control_characters_at_a_terminal() -> None:
    """The table is drawn with rich, and names must not be interpreted as its markup."""
    shown = run_at_terminal(*LIST)
    assert shown.code == 0
    assert "Acme [bold]Corp[/bold]" in shown.out
    assert "evil �[2J�gnp.exe�31m" in shown.out
    assert "\x1b[2J" not in shown.out
    assert "\u202e" not in shown.out


def test_success_json_at_a_terminal() -> None:
    shown = run_at_terminal(*LIST, "--json")
    assert "\x1b" not in shown.out
    assert "\x9b" not in shown.out
    assert json.loads(shown.out)["tenants"][1]["name"] == "evil \x1b[2J\u202egnp.exe\x9b31m"


def test_success_closed_stream_is_not_a_terminal() -> None:
    """A command that runs with `<&-` has None as its stdin, and asks nothing."""
    assert not is_terminal(None)


def test_success_dumb_terminal_gets_plain_text() -> None:
    assert run_at_terminal(*LIST, TERM="dumb").out.startswith("talking\nSlug  Name ")


def test_success_colours_at_a_terminal_only() -> None:
    plain = "deactivate  evil �[2J [bold]\n"
    assert run_at_terminal(*LIST, "--act", "styled").out == (
        "\x1b[31mdeactivate  \x1b[0mevil �[2J [bold]\n"
    )
    assert run_at_terminal(*LIST, "--act", "styled", NO_COLOR="1").out == plain
    assert run_example(*LIST, "--act", "styled").out == plain
    assert run_example(*LIST, "--act", "styled", "--json").out == ""


def show_at_terminal(print_text: Callable[[Output], None]) -> str:
    """Return what a terminal of 80 columns gets."""
    ours, theirs = pty.openpty()
    shown = ""
    with os.fdopen(theirs, "w") as terminal:
        print_text(Output(terminal, terminal))
        terminal.write("END\n")
        terminal.flush()
        while "END" not in shown:
            shown += os.read(ours, 65536).decode()
    os.close(ours)
    return shown


@pytest.mark.parametrize("length", [40, 45, 55, 56, 57, 58, 70, 79, 80, 81, 140])
def test_success_codes_stay_whole_at_a_terminal(length: int) -> None:
    def print_text(output: Output) -> None:
        output.print_line(f"{'x' * length} [SW_DATABASE_UNMIGRATED]")
        output.print_error(UsageError("y" * length))

    shown = show_at_terminal(print_text).splitlines()
    codes = [match for line in shown if (match := re.search(r"\[SW_[A-Z_]+\]", line))]
    assert len(codes) == 2
    assert all(code.start() // 80 == (code.end() - 1) // 80 for code in codes), shown


def test_success_messages_break_between_words_at_a_terminal() -> None:
    command = "`scaiwave admin federation key revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7Tx --yes`"
    at_end = f"{'x' * 70} ends"

    def print_text(output: Output) -> None:
        output.print_error(UsageError(f"{'word ' * 14}anna@acme.example is unknown.", fix=command))
        output.warn(at_end)
        output.log(at_end)
        output.prompt(f"{'word ' * 15}Continue? [y/N]")
        output.print_line()
        output.print_record([Column("a", "Name")], {"a": "word " * 16})

    words = " ".join(["word"] * 14)
    assert show_at_terminal(print_text).replace("\r", "").split("END")[0] == (
        f"Error: {words}\n  anna@acme.example is unknown. [SW_USAGE]\n"
        f"  Fix:\n    {command}\n"
        f"Warning: {'x' * 70}\n  ends\n"
        f"{at_end}\n"
        f"{words} word\n  Continue? [y/N] \n"
        f"Name  {words} word\n      word\n"
    )


def test_success_broken_names_and_styles_at_a_terminal() -> None:
    column = Column("key_id", "Key ID", part=Part.NAME, styles={"short": "green"})

    def print_text(output: Output) -> None:
        output.print_table("keys", [column], [{"key_id": "short"}, {"key_id": "z" * 200}])

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "80")
        patch.delenv("NO_COLOR", raising=False)
        shown = show_at_terminal(print_text)
        assert "\x1b[32mshort" in shown
        assert "…" not in shown
        patch.setenv("NO_COLOR", "1")
        assert "\x1b[32m" not in show_at_terminal(print_text)


def test_success_progress_is_drawn_at_a_terminal() -> None:
    shown = run_at_terminal(*LIST, "--act", "progress")
    assert "Fetching [bold]people[/bold]" in shown.out
    assert "3/3" in shown.out
    assert shown.out.endswith("fetched\n")


def test_success_no_progress_in_a_pipe() -> None:
    ended = run_example(*LIST, "--act", "progress")
    assert (ended.out, ended.err) == ("fetched\n", "")


def test_success_progress_lines_with_v2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaiwave.console.output.PROGRESS_INTERVAL_SECONDS", 0.0)
    output, _, stderr = written(verbose=True)
    with output.progress("Fetching") as advance:
        advance(1500, 3000)
        advance(1501, None)
    first, second = stderr.getvalue().splitlines()
    assert first.startswith("Fetching: 1,500 of 3,000, ")
    assert first.endswith("/s")
    assert second.startswith("Fetching: 1,501, ")


def test_success_progress_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaiwave.console.output.PROGRESS_INTERVAL_SECONDS", 0.0)
    output, _, stderr = written(verbose=True)
    with output.progress("Reading", ColumnType.BYTES) as advance:
        advance(1_500_000, 3_000_000)
    line = stderr.getvalue()
    assert line.startswith("Reading: 1.4 MiB of 2.9 MiB, ")
    assert line.endswith("B/s\n")


def rows_then_error(count: int) -> Iterator[Row]:
    yield from ({"name": f"n{number}", "size": number} for number in range(count))
    raise UsageError("The rows can't be read.")


@pytest.mark.parametrize("as_json", [True, False])
def test_fail_before_the_first_row_leaves_stdout_empty(as_json: bool) -> None:
    output, stdout, _ = written(as_json=as_json)
    with pytest.raises(UsageError):
        output.print_table("tenants", COLUMNS, rows_then_error(0))
    with pytest.raises(UsageError):
        output.print_csv(["name"], rows_then_error(0))
    assert stdout.getvalue() == ""


@pytest.mark.parametrize("rest", [{}, {"next_id": None, "more": {"a": [1]}}])
@pytest.mark.parametrize(
    "rows", [[], [{"name": "a\nb", "size": {"deep": [1, 2]}}], [{"name": "a"}, {"name": "b"}]]
)
def test_success_json_list_equals_the_complete_document(
    rows: list[Row], rest: dict[str, Any]
) -> None:
    output, stdout, _ = written(as_json=True)
    output.print_table("tenants", COLUMNS, iter(rows), load_rest=lambda: rest)
    assert stdout.getvalue() == to_json({"tenants": rows, **rest}) + "\n"


def test_success_plain_columns_are_as_wide_as_the_first_rows_need() -> None:
    output, stdout, _ = written()
    names = ["x" * (20 if number == 1500 else 3) for number in range(2000)]
    output.print_table(
        "names",
        (Column("name", "Name"), Column("b", "B")),
        ({"name": name, "b": "y"} for name in names),
    )
    lines = stdout.getvalue().splitlines()
    assert lines[:2] == ["Name  B", "xxx   y"]
    assert lines[1501] == f"{'x' * 20}  y"
    assert len(lines) == 2001


def test_success_csv() -> None:
    output, stdout, _ = written()
    partner = {"id": UUID(int=1), "slug": "north", "name": "North, Inc."}
    row = {
        "name": '=SUM("A1")',
        "partner": partner,
        "count": -3,
        "share": 0.5,
        "open": True,
        "tags": ["-a", "b"],
        "details": {"a": [1]},
        "created_at": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "email": None,
    }
    keys = ["name", "partner.slug", "partner.name", *[*row][2:]]
    output.print_csv(keys, [row, {**row, "name": "+1\x1b[2J\n", "partner": None}])
    header, *lines = csv.reader(io.StringIO(stdout.getvalue()))
    assert header[:4] == ["name", "partner_slug", "partner_name", "count"]
    assert lines == [
        [
            *('\'=SUM("A1")', "north", "North, Inc.", "-3", "0.5", "true", "'-a b"),
            *('{"a": [1]}', "2026-03-04T05:06:07Z", ""),
        ],
        [
            *("'+1\ufffd[2J\ufffd", "", "", "-3", "0.5", "true", "'-a b"),
            *('{"a": [1]}', "2026-03-04T05:06:07Z", ""),
        ],
    ]


@pytest.mark.parametrize(
    "name",
    [
        "x;=1+1;y",
        "x; =1+1;y",
        'x;"=1+1;y',
        "x;\uff1d1+1;y",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(A1)",
        "\t=1+1",
        "x\t=1+1\ty",
        "x\r\n=1+1",
        ";@x",
        " =1+1",
        "\N{NO-BREAK SPACE}=1+1",
        "\u3000 @SUM(A1)",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_success_no_csv_cell_is_a_formula_with_any_delimiter(name: str, delimiter: str) -> None:
    """Spreadsheets of many European languages split lines at semicolons."""
    output, stdout, _ = written()
    output.print_csv(["id", "name", "email"], [{"id": "1", "name": name, "email": name}])
    lines = list(csv.reader(io.StringIO(stdout.getvalue()), delimiter=delimiter))
    assert len(lines) == 2
    if delimiter == ",":
        assert len(lines[1]) == 3
    cells = [cell.lstrip().lstrip(' "') for cell in lines[1]]
    assert not [
        cell for cell in cells if cell.startswith(("=", "+", "-", "@", *"\uff1d\uff0b\uff0d\uff20"))
    ]


def test_success_csv_cells_with_a_semicolon_are_quoted() -> None:
    output, stdout, _ = written()
    output.print_csv(["name", "b"], [{"name": 'a;"b"', "b": "c;d"}, {"name": "a b", "b": None}])
    assert stdout.getvalue() == 'name,b\n"a;""b""","c;d"\na b,\n'


def test_success_csv_without_rows_has_a_header() -> None:
    output, stdout, _ = written()
    output.print_csv(["id", "partner.slug"], [])
    assert stdout.getvalue() == "id,partner_slug\n"


ID = "01a20f2b-4abc-71af-816e-0bab5a1b7229"
CHOSEN_COLUMNS = (
    Column("id", "Id", part=Part.KEY),
    Column("name", "Name", part=Part.NAME),
    Column("note", "Note", part=Part.EXTRA),
    Column("kind", "Kind"),
    Column("state", "State", part=Part.STATUS),
    Column("events", "Events", ColumnType.COUNT, part=Part.EXTRA, sort="events"),
    Column("error", "Error", part=Part.ERROR),
)
CELLS = [
    [ID, "A name that is rather long", "-", "group", "open", "3,000", "-"],
    [ID, "日本語の部屋の名前はとても長い", "-", "public", "open", "7", "-"],
]


def drawn(
    monkeypatch: pytest.MonkeyPatch, width: int, cells: list[list[str]] = CELLS, **options: Any
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = StringIO()
    print_rich_table(CHOSEN_COLUMNS, cells, stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("width", "sort", "missing"),
    [
        (106, "", ""),
        (96, "", "Note (empty), Error (empty)"),
        (84, "", "Note (empty), Events, Error (empty)"),
        (84, "events", "Note (empty), Error (empty)"),
        (62, "events", "Note (empty), Kind, Error (empty)"),
        (56, "", "Note (empty), Kind, Events, Error (empty)"),
    ],
)
def test_success_a_narrow_terminal_omits_empty_columns_then_extras_then_details(
    width: int, sort: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sort key, and what names a row and its state, stay."""
    table, _, note = drawn(monkeypatch, width, sort=sort).partition("\nA wider")
    assert " ".join(note.split()) == (f"terminal also shows: {missing}." if missing else "")
    lines = table.splitlines()
    assert max(map(display_width, lines)) <= width
    assert sum(ID in line for line in lines) == 2
    assert all(("Events" in line) is ("Events" not in missing) for line in lines[1:2])
    names = {word for line in lines[3:] for word in line.split()}
    assert {"A", "name", "that", "is", "rather", "long", "open"} <= names


def test_success_an_extra_takes_the_room_that_a_wider_one_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted = [[*row[:2], "a note of forty characters, more or less", *row[3:]] for row in CELLS]
    for width, missing in ((130, "Events, Error (empty)"), (96, "Note, Error (empty)")):
        _, _, note = drawn(monkeypatch, width, noted).partition("terminal also shows: ")
        assert " ".join(note.split()) == f"{missing}."


def test_success_rows_become_lines_where_names_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [*CELLS[0][:-1], f"The file {'x' * 40} of the room can't be read at all."]
    assert drawn(monkeypatch, 44, [failed]) == (
        f"Id      {ID}\n"
        "Name    A name that is rather long\n"
        "Kind    group\n"
        "State   open\n"
        "Events  3,000\n"
        "Error   The file\n"
        f"        {'x' * 40}\n"
        "        of the room can't be read at all.\n\n"
    )


def test_success_a_number_stays_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = StringIO()
    columns = (Column("name", "Name"), Column("tokens", "AI tokens", ColumnType.COUNT))
    print_rich_table(columns, [["A name that is rather long", "185,642,104,218 (91%)"]], stream)
    assert " 185,642,104,218 (91%) \n" in stream.getvalue()
