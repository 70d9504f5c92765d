"""Bar charts as SVG, made on the server: they need no scripts or styles in the page.

A script shows the values of the column that has the pointer or the focus.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log

from scaiwave.console.output import format_bytes
from scaiwave.site.overview import Stored

WIDTH, HEIGHT = 640.0, 120.0
GAP = 0.2
"""Share of a column that stays empty."""

MIN_BAR = 2.0
"""Height of the smallest bar of a value that is not 0, in units of the drawing."""

_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""What the axis ends with, in units of a power of 1,000, or of 1,024 for bytes."""


@dataclass(frozen=True)
class Rectangle:
    """A part of a bar; `style` is the name of its class."""

    x: float
    y: float
    width: float
    height: float
    style: str


@dataclass(frozen=True)
class ChartColumn:
    """A point with its bar. `x` and `width` cover the whole column, so that it is easy to hit."""

    label: str
    text: str
    url: str
    at: str
    is_gap: bool
    x: float
    width: float
    rectangles: list[Rectangle]


def draw_chart(chart: Stored) -> Stored:
    """Add the template's values to a chart as `build_overview` returns it.

    `rows` are the points of the table that have a value. `scale` is the numbers of the axis, from
    the top, and `ticks` are the points whose labels stand below it.
    """
    points = chart["points"]
    highest = max((sum(point["values"]) for point in points), default=0)
    top = 1.0  # the round number at the top of the drawing
    if highest:
        base = 1024.0 if chart["unit"] == "bytes" else 1000.0
        unit = base ** floor(log(highest, base))
        top = next(step * unit for step in _STEPS if step * unit >= highest)
    width = WIDTH / max(len(points), 1)
    columns = [_draw_column(point, index, width, top) for index, point in enumerate(points)]
    return {
        **chart,
        "columns": columns,
        "rows": [point for point in points if sum(point["values"])],
        "legend": _build_legend(chart),
        "scale": [_format_value(value, chart["unit"]) for value in (top, top / 2, 0)],
        "ticks": [points[0], points[len(points) // 2], points[-1]] if points else [],
        "is_empty": not highest,
        "width": WIDTH,
        "height": HEIGHT,
    }


def _build_legend(chart: Stored) -> list[dict[str, str]]:
    """Return what each colour of the chart stands for; nothing if there is one only."""
    if chart.get("tones"):
        return [{"name": name, "style": f"bar {tone}"} for name, tone in chart["tones"]]
    series = chart["series"] if len(chart["series"]) > 1 else ()
    return [{"name": name, "style": f"series-{index}"} for index, name in enumerate(series)]


def _format_value(value: float, unit: str) -> str:
    if unit == "bytes":
        return format_bytes(int(value))
    text = f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{text} {unit}".strip()


def _draw_column(point: Stored, index: int, width: float, top: float) -> ChartColumn:
    x, y = index * width, HEIGHT
    rectangles = []
    for series, value in enumerate(point["values"]):
        if not value:
            continue
        height = max(value / top * HEIGHT, MIN_BAR)
        y = max(y - height, 0.0)
        rectangles.append(
            Rectangle(
                round(x + width * GAP / 2, 2),
                round(y, 2),
                round(width * (1 - GAP), 2),
                round(height, 2),
                point["tone"] or f"series-{series}",
            )
        )
    return ChartColumn(
        point["label"],
        point["text"],
        point["url"],
        point["at"],
        not point["values"],
        round(x, 2),
        round(width, 2),
        rectangles,
    )
