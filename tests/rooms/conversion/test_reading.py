"""The parts below the readers: sorting on disk, rows of large files, and files of a source."""

from __future__ import annotations

import json
import random
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rooms.conversion import json_rows, spool
from rooms.conversion.accounts import Accounts, RowKind
from rooms.conversion.json_rows import RowReader, clean_text
from rooms.conversion.markdown import code_block, code_span, get_emoji, link, quote, strip_query
from rooms.conversion.source_files import SourceFiles
from rooms.conversion.spool import GroupedSpool, SortedSpool
from tests.rooms.conversion.factories import make_slack_message

MIB = 1024 * 1024


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
@pytest.mark.parametrize("limit", [1, 500, 10_000, 10**9])
def test_success_sorted(order: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MAX_PENDING_BYTES", limit)
    monkeypatch.setattr(spool, "_READ_BYTES", 10)
    rng = random.Random(limit)
    records = sorted(rng.randbytes(rng.randrange(1, 200)) for _ in range(300))
    given = records[:: -1 if order == "descending" else 1]
    if order == "random":
        rng.shuffle(given)
    with SortedSpool() as sorted_spool:
        for record in given:
            sorted_spool.add(record)
        runs = len(sorted_spool._runs)
        assert list(sorted_spool.iter_sorted()) == records
    if order == "ascending":
        assert runs <= 1


@pytest.mark.parametrize("limit", [1, 500, 10**9])
def test_success_grouped(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MAX_PENDING_BYTES", limit)
    rng = random.Random(limit)
    groups: dict[str, list[bytes]] = {"a": [], "b": [], "": []}
    with GroupedSpool() as grouped:
        for _ in range(300):
            group, record = rng.choice([*groups]), rng.randbytes(rng.randrange(0, 200))
            groups[group].append(record)
            grouped.add(group, record)
        grouped.flush()
        found = {group: sorted(grouped.iter_group(group)) for group in grouped.sizes}
    assert found == {group: sorted(records) for group, records in groups.items()}


def test_success_sorting_nothing() -> None:
    with SortedSpool() as sorted_spool:
        assert list(sorted_spool.iter_sorted()) == []


def read_rows(path: Path) -> tuple[list[Any], Accounts]:
    accounts = Accounts()
    with SourceFiles(path, None, accounts) as files:
        rows = [
            row for _, row in RowReader(files, accounts).iter_array(path.name, RowKind.MESSAGES)
        ]
    return rows, accounts


def make_rows(count: int) -> list[Any]:
    rng = random.Random(count)
    nested = {"a": [{"b": "},{"}, {"c": [{"d": 1}]}], "text": '"},\n    {"'}
    return [
        make_slack_message(n, "x" * rng.randrange(200), extra=nested if n % 3 else None)
        for n in range(count)
    ]


@pytest.mark.parametrize("indent", [None, 0, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 20_000])
def test_success_rows_of_any_layout(count: int, indent: int | None, tmp_path: Path) -> None:
    """Windows end inside of rows, and nothing in a row may look like its end."""
    rows = make_rows(count)
    separators = (",", ":") if indent is None else None
    (tmp_path / "x.json").write_text(json.dumps(rows, indent=indent, separators=separators))
    found, _ = read_rows(tmp_path / "x.json")
    assert found == rows


def test_success_windows_smaller_than_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_WINDOW_BYTES", 100)
    rows = [*make_rows(50), "x", None, [1, {"a": 2}], *make_rows(3)]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    found, _ = read_rows(tmp_path / "x.json")
    assert found == rows


def test_success_large_file_in_little_memory(tmp_path: Path) -> None:
    text = json.dumps(make_rows(1000), indent=2)[1:-1]
    with (tmp_path / "x.json").open("w") as file:
        file.write("[" + ",".join([text] * 60) + "]")
    tracemalloc.start()
    accounts = Accounts()
    with SourceFiles(tmp_path / "x.json", None, accounts) as files:
        count = sum(1 for _ in RowReader(files, accounts).iter_array("x.json", RowKind.MESSAGES))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000
    assert peak < 30 * MIB < (tmp_path / "x.json").stat().st_size * 2


def test_success_many_entries_in_little_memory(tmp_path: Path) -> None:
    """A workspace of ten years has a hundred thousand files."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"room-with-a-long-name-{number % 100}/{number}.json", "[]")
    tracemalloc.start()
    with SourceFiles(tmp_path / "x.zip", None, Accounts()) as files:
        kept = tracemalloc.get_traced_memory()[0]
        assert len(files.sizes) == 20_000
    tracemalloc.stop()
    assert kept < 20_000 * 500


def test_success_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 10 * MIB)
    lines = [json.dumps("a" * 2 * MIB), json.dumps("b" * 11 * MIB), json.dumps("c"), "", "1"]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    accounts = Accounts()
    with SourceFiles(tmp_path / "x.jsonl", None, accounts) as files:
        rows = RowReader(files, accounts).iter_lines("x.jsonl")
        found = [(place.row, json.loads(line)) for place, line in rows]
    assert [(row, str(value)[:1]) for row, value in found] == [(1, "a"), (3, "c"), (5, "1")]
    assert accounts.reported == {("other", "row of more than 16 MiB"): [1, "x.jsonl#2"]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\0b\r\nc\td\x1b", "a\ufffdb\nc\td\ufffd"),
        (5, "5"),
        (None, ""),
        ({}, ""),
        ("\ud800", "\ufffd"),
    ],
)
def test_success_clean_text(value: object, text: str) -> None:
    assert clean_text(value) == text


@pytest.mark.parametrize(
    ("name", "emoji"),
    [
        ("tada", "🎉"), ("+1", "👍"), ("-1", "👎"), ("clap::skin-tone-6", "👏🏿"),
        ("flag-de", "🇩🇪"), ("simple_smile", "🙂"), ("party-parrot", None), ("", None),
        ("flag-DE", None), ("+1_medium_dark_skin_tone", "👍🏾"), ("melting_face", "🫠"),
        ("female-technologist", "👩‍💻"), ("male_sign", "♂"), ("sun", "☀"), ("space", None),
    ],
)  # fmt: skip
def test_success_emoji(name: str, emoji: str | None) -> None:
    assert get_emoji(name) == emoji


@pytest.mark.parametrize(
    ("url", "stripped"),
    [
        ("https://files.slack.com/a/b.png?t=xoxe-1#frag", "https://files.slack.com/a/b.png"),
        ("https://user:secret@example.com/x", "https://example.com/x"),
        ("javascript:alert(1)", ""), ("media/x.png", ""), (None, ""), ("http://[", ""), (5, ""),
    ],
)  # fmt: skip
def test_success_strip_query(url: object, stripped: str) -> None:
    assert strip_query(url) == stripped


def test_success_markdown() -> None:
    assert code_span("a`b``c") == "```a`b``c```"
    assert code_span("`a`") == "`` `a` ``"
    assert code_block("a\n```\nb", "py") == "````py\na\n```\nb\n````"
    assert quote("a\n\nb") == "> a\n> \n> b"
    assert link("javascript:alert(1)", "x") == "x (javascript:alert(1))"
    assert link("https://x.org/a_(b)", "*x*") == "[*x*](https://x.org/a_%28b%29)"
    assert link("https://x.org/a_b") == "<https://x.org/a_b>"
