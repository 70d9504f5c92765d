"""The log as text: one record a line, whatever a client or ScaiKey puts into it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.core.log_formatter import (
    RefusedRequestFilter,
    SingleLineFormatter,
    escape_control_chars,
)

SCRIPT = """
import django
django.setup()
from django.test import Client
client = Client(raise_request_exception=False)
client.get("/nowhere%0a2026-01-01%20CRITICAL%20forged%1b[31m%e2%80%a8", HTTP_HOST="localhost")
client.get("/", HTTP_HOST="evil\\x1b.example")
client.get("/", HTTP_HOST="unknown.example")
"""


def format_record(message: str, *arguments: object, exc_info: object = None) -> str:
    formatter = SingleLineFormatter("%(levelname)s %(name)s: %(message)s")
    record = logging.LogRecord("app", logging.INFO, "f.py", 1, message, arguments, exc_info)  # type: ignore[arg-type]
    return formatter.format(record)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("a\u202eb", "a\\u202eb"),
        ("Zoë 中文", "Zoë 中文"),
    ],
)
def test_success_control_characters_are_escaped(argument: str, expected: str) -> None:
    assert format_record("Not found: %s", argument) == f"INFO app: Not found: {expected}"


@given(st.text())
def test_success_every_record_is_one_line(text: str) -> None:
    line = format_record("%s", text)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_success_lines_of_a_traceback_are_indented() -> None:
    try:
        raise ValueError("first\n2026-01-01 CRITICAL app: forged\x1b[31m")
    except ValueError:
        first, *others = format_record("Failed", exc_info=sys.exc_info()).split("\n")
    assert first == "INFO app: Failed"
    assert all(line.startswith("    ") for line in others)
    assert any("forged\\x1b[31m" in line for line in others)


def test_success_text_without_control_characters_is_unchanged() -> None:
    assert escape_control_chars("a\\b 'c'") == "a\\b 'c'"


def test_success_a_refusal_of_a_page_has_no_traceback() -> None:
    for status, is_shown in ((403, False), (404, False), (500, True)):
        record = logging.LogRecord("django.request", logging.WARNING, "f.py", 1, "no", (), None)
        record.exc_info = (ValueError, ValueError("cause"), None)
        record.status_code = status
        assert RefusedRequestFilter().filter(record)
        assert bool(record.exc_info) is is_shown


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_success_a_refused_request_is_one_line(tmp_path: Path, log_format: str) -> None:
    environment = {
        "SCAIWAVE_HOME": str(tmp_path),
        "SCAIWAVE_LOG_FORMAT": log_format,
        "SCAIWAVE_SECRET_KEY": "s" * 50,  # sessions need one, which only migrate creates
        "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
    }
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    lines = ended.stderr.splitlines()
    assert len(lines) == 3, ended.stderr
    assert "\x1b" not in ended.stderr
    assert not any(line.startswith("2026-01-01") for line in lines)
