from __future__ import annotations

from scaiwave.console.text import wrap_words
from scaiwave.operations.doctor.findings import format_advice, passed, warned

FIX = (
    "Put the old one back after the newest, or make a key: "
    "`openssl rand -base64 32 | tr '+/' '-_'`; then (`key list`) look again."
)
FINDINGS = [passed("audit", "Good."), warned("keys", "Bad.", FIX), warned("keys", "Old.", FIX)]


def test_success_in_a_pipe_one_line_each() -> None:
    assert list(format_advice(FINDINGS)) == [f"  keys: {FIX}"]


def test_success_at_a_terminal_lines_break_between_words_outside_commands() -> None:
    [line] = format_advice(FINDINGS)
    assert wrap_words(line, 50).splitlines() == [
        "  keys: Put the old one back after the newest, or",
        "    make a key:",
        "    `openssl rand -base64 32 | tr '+/' '-_'`; then",
        "    (`key list`) look again.",
    ]


def test_success_long_commands_have_a_separate_line() -> None:
    [line] = format_advice(FINDINGS)
    lines = wrap_words(line, 20).splitlines()
    assert "    `openssl rand -base64 32 | tr '+/' '-_'`;" in lines
    assert lines[0] == "  keys: Put the old"
