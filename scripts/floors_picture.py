"""Draw the floors of the code, for `scripts/generate`.

The floors are the first import contract in pyproject.toml, and the rooms of each app the contract
that names the app as its container.
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CHAR, LINE, GAP, WIDTH = 6.7, 17, 8, 760


def read_floors() -> list[list[tuple[str, list[str]]]]:
    """Return the floors from the top: of each the packages, with the rooms of an app."""
    text = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    floors = next(contract["layers"] for contract in contracts if contract.get("id") == "floors")
    rooms = {
        contract["containers"][0]: [room for layer in contract["layers"] for room in _split(layer)]
        for contract in contracts
        if len(contract.get("containers", ())) == 1
    }
    # It stands beside the floors of rooms and federation, and does not import them.
    beside = {"federation": ["identity_sync"]}
    # The entry points have one box: five would be too narrow for their names.
    top = [("scaiwave", [name.removeprefix("scaiwave.") for name in _split(floors[0])])]
    return [
        top,
        *(
            [
                (name, rooms.get(name, []))
                for layer_name in _split(layer)
                for name in (layer_name, *beside.get(layer_name, ()))
            ]
            for layer in floors[1:]
        ),
    ]


def _split(layer: str) -> list[str]:
    return [name.strip("() ") for name in layer.replace("|", ":").split(":")]


def draw(floors: list[list[tuple[str, list[str]]]]) -> str:
    parts, top = [], GAP
    for floor in floors:
        width = (WIDTH - GAP * (len(floor) + 1)) / len(floor)
        boxes = [_wrap(rooms, int((width - 2 * GAP) / CHAR)) for _, rooms in floor]
        height = LINE * (1 + max(map(len, boxes))) + 2 * GAP
        for number, ((name, _), lines) in enumerate(zip(floor, boxes, strict=True)):
            left = GAP + number * (width + GAP)
            parts.append(
                f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="6"/>'
            )
            for row, line in enumerate([name, *lines]):
                kind = ' class="name"' if row == 0 else ""
                y = top + GAP + 13 + row * LINE
                parts.append(f'<text x="{left + GAP:.0f}" y="{y}"{kind}>{escape(line)}</text>')
        top += height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" role="img" '
        'aria-label="Packages by floors: each may import those below it">\n'
        "<style>\nrect { fill: #eef3f8; stroke: #9db2c7 }\n"
        "text { font: 11px system-ui, sans-serif; fill: #34495e }\n"
        ".name { font-weight: 600; fill: #16324f }\n"
        "@media (prefers-color-scheme: dark) { rect { fill: #1b232c; stroke: #4a5d70 } "
        "text { fill: #b8c4d0 } .name { fill: #e4ebf2 } }\n</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _wrap(words: list[str], columns: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 3 + len(word) <= columns:
            lines[-1] += f" · {word}"
        else:
            lines.append(word)
    return lines
