from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from scripts import demo_picture

TOP = Path(__file__).resolve().parents[2]

RECORDING = """\
== Set up a separate home directory and database
$ scaiwave manage migrate

== Register with ScaiKey

$ scaiwave sync register
one & two < three

== Result

$ scaiwave admin list-tenants
acme
== Done
Created.
"""


@pytest.mark.parametrize(
    ("output", "masked"),
    [
        ("Request             req_aa113647f0f2934d", "Request             req_…"),
        ("Client ID           1.00.1..9e8d2bc71bee", "Client ID           …"),
        ("Applied 6,799 changes; 38 requests, 0.2 s.", "Applied 6,799 changes; 38 requests, … s."),
        ("Created lab (01a2133e-ce14-778c-aa06-3de2f916f6c3).", "Created lab (…)."),
        ("$ export SCAIWAVE_HOME=/srv/a/.demo", "$ export SCAIWAVE_HOME=…/.demo"),
        ("The sandbox is running on http://127.0.0.1:9123.", None),
    ],
)
def test_success_mask(output: str, masked: str | None) -> None:
    masked = masked or "The sandbox is running on http://127.0.0.1:8790."
    assert demo_picture.mask(output) == f"{masked}\n"


def test_success_draws_the_sections_between() -> None:
    picture = ET.fromstring(demo_picture.draw(RECORDING))  # noqa: S314 - our own text
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [
        "scripts/demo",
        "Register with ScaiKey",
        "$ scaiwave sync register",
        "one & two < three",
        "Result",
        "$ scaiwave admin list-tenants",
        "acme",
    ]


def test_success_cuts_long_outputs_and_lines() -> None:
    rows = "".join(f"row {number}\n" for number in range(20))
    lines = list(demo_picture.select_lines(f"{demo_picture.FIRST_SECTION}\n$ {'x' * 200}\n{rows}"))
    assert lines[-1] == "…"
    assert len(lines) == 2 + demo_picture.MAX_LINES_OF_OUTPUT + 1
    assert len(lines[1]) == demo_picture.MAX_COLUMNS


def test_success_columns_of_wide_and_combining_characters() -> None:
    assert [demo_picture.count_columns(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]


def run(*options: str, output: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/demo_picture.py", *options],
        cwd=TOP,
        input=output,
        capture_output=True,
        text=True,
        check=False,
    )


def test_success_compare_masks_the_output() -> None:
    recorded = demo_picture.RECORDING.read_text(encoding="utf-8")
    process = run("--compare", "-", output=recorded.replace("req_…", "req_00ff"))
    assert (process.returncode, process.stdout) == (0, "")


def test_fail_compare_prints_the_difference() -> None:
    recorded = demo_picture.RECORDING.read_text(encoding="utf-8")
    process = run("--compare", "-", output=recorded.replace("Acme Logistics", "Acme Ltd"))
    assert process.returncode == 1
    assert "+acme         Acme Ltd " in process.stdout
    assert process.stdout.splitlines()[-1] == (
        "The demo prints something else than its picture shows; run scripts/generate --demo."
    )


def test_success_record_masks_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = tmp_path / "demo.txt"
    output = tmp_path / "output"
    output.write_text("Request             req_aa113647f0f2934d\n", encoding="utf-8")
    monkeypatch.setattr(demo_picture, "RECORDING", recording)
    monkeypatch.setattr(sys, "argv", ["demo_picture.py", "--record", str(output)])
    assert demo_picture.main() == 0
    assert recording.read_text(encoding="utf-8") == "Request             req_…\n"
