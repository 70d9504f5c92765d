"""Files of names: CSV as spreadsheets and the suite write it, or one name a line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from scaiwave.console.output import format_csv_lines
from scaiwave.core.errors import UsageError
from tenants.management import names
from tenants.management.names import read_names


def read(tmp_path: Path, data: str | bytes) -> list[str]:
    file = tmp_path / "names"
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_names(None, str(file))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("anna\nbert\n", ["anna", "bert"]),
        ("anna\r\n\r\n  bert  \r\n", ["anna", "bert"]),
        ("anna\rbert", ["anna", "bert"]),
        ("\ufeffanna@x\nanna@x\n# note\n", ["anna@x", "anna@x"]),
        ("email\nanna@x\n", ["anna@x"]),
        ("\ufeffName;E-Mail\r\nAnna Berg;anna@x\r\n;\r\n ; \r\n", ["anna@x"]),
        ("name\temail\nAnna\tanna@x\n", ["anna@x"]),
        ('note,email\n"left, long ago\non a ""Monday""",anna@x\n', ["anna@x"]),
        ("email,id\nanna@x,usr_1\n", ["usr_1"]),
        ("fqid,email\n'@anna:localhost,a@x\n", ["@anna:localhost"]),
        ("name\n'=cmd()\n'quoted'\n", ["=cmd()", "'quoted'"]),
        ('"Crew, night"\n', ["Crew, night"]),
        ("note,email\n\nlong,anna@x\n", ["anna@x"]),
    ],
)
def test_success_forms(tmp_path: Path, data: str, found: list[str]) -> None:
    assert read(tmp_path, data) == found


def test_success_the_csv_of_the_suite_is_read_back(tmp_path: Path) -> None:
    rows = [{"fqid": "@anna:x", "display_name": "=1+1;=2"}, {"fqid": "+b", "display_name": "b"}]
    text = "".join(format_csv_lines(["display_name", "fqid"], rows))
    assert read(tmp_path, text) == ["@anna:x", "+b"]


def test_success_arguments_and_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bert\n")))
    assert read_names(["anna"], "-") == ["anna", "bert"]
    assert not sys.stdin.closed  # A confirmation asks whether it is a terminal.


def test_fail_closed_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="stdin is closed"):
        read_names(None, "-")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "has no names."),
        ("\n\n", "has no names."),
        ("email\n", "has no names."),
        ("email,name\nanna@x,Anna\n,Bert\n", "has a row without email: , Bert."),
        ("name,email\nAnna,anna@x\nBert\n", "has a row without email: Bert."),
        ("email,id\nanna@x,usr_1\nbert@x,\n", "has a row without id: bert@x, ."),
        ("anna,berg\nbert,burg\n", "has several columns, and none is known."),
        (b"\xff\xfe\x00", "can't be read: it is not a text file in UTF-8."),
        ("a" * 200_000, "can't be read: field larger than field limit (131072)."),
    ],
)
def test_fail_unusable(tmp_path: Path, data: str | bytes, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, data)
    assert caught.value.message.endswith(problem)


def test_fail_too_large_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_FILE_BYTES", 3)
    with pytest.raises(UsageError, match="it is too large"):
        read(tmp_path, "anna")
    with pytest.raises(UsageError, match="No such file"):
        read_names([], str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="No names were passed"):
        read_names([], None)
