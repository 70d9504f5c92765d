from __future__ import annotations

from scaiwave.doctor.findings import passed, warned
from scaiwave.management.commands.doctor import format_advice

FIX = (
    "Put the old one back after the newest, or make a key: "
    "`openssl rand -base64 32 | tr '+/' '-_'`; then (`key list`) look again."
)
FINDINGS = [passed("audit", "Good."), warned("keys", "Bad.", FIX)]


def test_success_in_a_pipe_one_line_each() -> None:
    assert list(format_advice(FINDINGS, columns=None)) == [f"  keys: {FIX}"]


def test_success_at_a_terminal_between_words_and_no_command_in_two() -> None:
    assert list(format_advice(FINDINGS, columns=50)) == [
        "  keys: Put the old one back after the newest, or",
        "    make a key:",
        "    `openssl rand -base64 32 | tr '+/' '-_'`; then",
        "    (`key list`) look again.",
    ]


def test_success_what_is_longer_than_a_line_has_one_of_its_own() -> None:
    lines = list(format_advice(FINDINGS, columns=20))
    assert "    `openssl rand -base64 32 | tr '+/' '-_'`;" in lines
    assert lines[0] == "  keys: Put the old"
