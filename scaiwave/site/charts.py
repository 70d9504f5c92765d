"""Bar charts as SVG, made on the server: they need no scripts or styles in the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 640.0, 120.0
GAP = 0.2
"""Share of a column that stays empty."""

MIN_BAR = 2.0
"""Height of the smallest bar of a value that is not 0, in units of the drawing."""


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
    x: float
    width: float
    rectangles: list[Rectangle]


def draw_chart(chart: dict[str, Any]) -> dict[str, Any]:
    """Add the template's values to a chart as `build_overview` returns it.

    `rows` are the points of the table that have a value. `highest` is the value at the top of the
    drawing.
    """
    points = chart["points"]
    highest = max((sum(point["values"]) for point in points), default=0)
    width = WIDTH / max(len(points), 1)
    columns = [_draw_column(point, index, width, highest) for index, point in enumerate(points)]
    return {
        **chart,
        "columns": columns,
        "rows": [point for point in points if sum(point["values"])],
        "legend": _build_legend(chart),
        "highest": _describe_highest(chart, highest),
        "is_empty": not highest,
        "width": WIDTH,
        "height": HEIGHT,
    }


def _build_legend(chart: dict[str, Any]) -> list[dict[str, str]]:
    """Return what each colour of the chart stands for; nothing if there is one only."""
    if chart.get("tones"):
        return [{"name": name, "style": f"bar {tone}"} for name, tone in chart["tones"]]
    series = chart["series"] if len(chart["series"]) > 1 else ()
    return [{"name": name, "style": f"series-{index}"} for index, name in enumerate(series)]


def _describe_highest(chart: dict[str, Any], highest: float) -> str:
    """Return the text of the highest bar, or its number if it consists of several values."""
    if len(chart["series"]) > 1:
        return f"{highest:,.0f}"
    return next((point["text"] for point in chart["points"] if sum(point["values"]) == highest), "")


def _draw_column(point: dict[str, Any], index: int, width: float, highest: float) -> ChartColumn:
    x, y = index * width, HEIGHT
    rectangles = []
    for series, value in enumerate(point["values"]):
        if not value:
            continue
        height = max(value / highest * HEIGHT, MIN_BAR)
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
        point["label"], point["text"], point["url"], round(x, 2), round(width, 2), rectangles
    )
