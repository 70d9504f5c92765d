#!/usr/bin/env python3
"""Record the output of the demo, and draw the picture in the README from it.

docs/images/demo.txt is the recorded output of `scripts/demo`, with IDs, times and paths masked.
`scripts/generate` draws docs/images/demo.svg from it, and `scripts/generate --demo` records again.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import unicodedata
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template

TOP = Path(__file__).resolve().parent.parent
RECORDING = TOP / "docs/images/demo.txt"

MASKS = (
    (r"\breq_[0-9a-f]+", "req_…"),
    (r"^(Requested +).+", r"\1…"),
    (r"\btnt_[0-9a-f]+", "tnt_…"),
    (r"\bapp_[0-9a-f]+", "app_…"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "…"),
    (r"\b\d{4}-\d\d-\d\dT[\d:]+Z", "…"),
    (r"^(Client (?:ID|secret) +).+$", r"\1…"),
    (r"\b\d+(?:\.\d+)? s\.$", "… s."),
    (r"(http://127\.0\.0\.1:|--port )\d+", r"\g<1>8790"),
    (r"[^\s'=]*(/\.demo\b|/\.venv\b|/\.venv-[a-z0-9]+)", r"…\1"),
)
"""What differs from run to run, and what replaces it."""

FIRST_SECTION = "== Register with ScaiKey"
LAST_SECTION = "== Result"
"""The picture leaves out the set-up before and the advice after these sections."""

MAX_LINES_OF_OUTPUT = 7
MAX_COLUMNS = 96
COLUMN_WIDTH = 8.0
LINE_HEIGHT = 19
MARGIN = 20
TITLE_BAR = 34
PADDING = 8

TEMPLATE = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$height" \
viewBox="0 0 $width $height" role="img" aria-label="Output of scripts/demo">
<style>
text { font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
white-space: pre; fill: #d6dde6 }
.section { fill: #7ec8f5; font-weight: bold }
.command { fill: #9be29b }
.bar { fill: #9aa5b1 }
</style>
<rect width="$width" height="$height" rx="8" fill="#1b232c"/>
<path d="M0 8a8 8 0 0 1 8-8h${top}a8 8 0 0 1 8 8v${bar}h-${width}z" fill="#2a3540"/>
<circle cx="20" cy="17" r="6" fill="#5b6773"/><circle cx="40" cy="17" r="6" fill="#5b6773"/>
<circle cx="60" cy="17" r="6" fill="#5b6773"/>
<text x="$middle" y="22" text-anchor="middle" class="bar">scripts/demo</text>
$lines
</svg>
""")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--record", metavar="FILE", help="record FILE (- is stdin)")
    group.add_argument("--compare", metavar="FILE", help="exit with 1 if FILE differs when masked")
    options = parser.parse_args()
    if options.compare:
        return compare(read_output(options.compare))
    RECORDING.write_text(mask(read_output(options.record)), encoding="utf-8")
    return 0


def read_output(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")


def compare(output: str) -> int:
    """Print how the output differs from the recording. Return the exit code."""
    lines = difflib.unified_diff(
        RECORDING.read_text(encoding="utf-8").splitlines(),
        mask(output).splitlines(),
        "docs/images/demo.txt",
        "the demo",
        lineterm="",
    )
    if not (difference := list(lines)):
        return 0
    print(*difference, sep="\n")
    print("The demo prints something else than its picture shows; run scripts/generate --demo.")
    return 1


def mask(output: str) -> str:
    """Replace what differs from run to run."""
    for pattern, replacement in MASKS:
        output = re.sub(pattern, replacement, output, flags=re.MULTILINE)
    return output.strip("\n") + "\n"


def draw(recording: str) -> str:
    """Return the SVG of the recorded output."""
    lines = list(select_lines(recording))
    columns = max(count_columns(line) for line in lines)
    width = round(columns * COLUMN_WIDTH) + 2 * MARGIN
    top = TITLE_BAR + PADDING
    height = top + len(lines) * LINE_HEIGHT + MARGIN
    rows = (
        draw_line(line, top + number * LINE_HEIGHT) for number, line in enumerate(lines, start=1)
    )
    return TEMPLATE.substitute(
        width=width,
        height=height,
        middle=width // 2,
        top=width - 16,
        bar=TITLE_BAR - 8,
        lines="\n".join(filter(None, rows)),
    )


def select_lines(recording: str) -> Iterator[str]:
    """Yield the lines of the shown sections, each at most `MAX_COLUMNS` wide.

    An output of more than `MAX_LINES_OF_OUTPUT` lines ends early, with `…`.
    """
    shown = was_last = False
    length = 0
    for line in recording.splitlines():
        if line.startswith("== "):
            shown = line == FIRST_SECTION or (shown and not was_last)
            was_last = line == LAST_SECTION
        if not shown:
            continue
        length = length + 1 if line and not line.startswith(("$ ", "== ")) else 0
        if length <= MAX_LINES_OF_OUTPUT:
            yield line if len(line) <= MAX_COLUMNS else line[: MAX_COLUMNS - 1] + "…"
        elif length == MAX_LINES_OF_OUTPUT + 1:
            yield "…"


def count_columns(line: str) -> int:
    """Return how many columns of a terminal the line takes."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in line
    )


def draw_line(line: str, y: int) -> str:
    """Return one `text` element. `textLength` keeps columns aligned whatever font there is."""
    if not line:
        return ""
    kind = ""
    if line.startswith("== "):
        kind, line = ' class="section"', line.removeprefix("== ")
    elif line.startswith("$ "):
        kind = ' class="command"'
    length = round(count_columns(line) * COLUMN_WIDTH)
    return (
        f'<text x="{MARGIN}" y="{y}" textLength="{length}" lengthAdjust="spacingAndGlyphs"'
        f'{kind} xml:space="preserve">{escape(line, quote=False)}</text>'
    )


if __name__ == "__main__":
    sys.exit(main())
