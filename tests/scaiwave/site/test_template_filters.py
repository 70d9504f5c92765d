"""The filters of the admin site's templates."""

from __future__ import annotations

from typing import Any

import pytest

from scaiwave.site.charts import draw_chart
from scaiwave.site.formatting import value_text
from scaiwave.templatetags.scaiwave_admin import labelled, with_numbers

ROWS = [
    [
        '<th class="field-at"><a href="/">1</a></th>',
        "<td>1,200</td>",
        "<td>1.5 s</td>",
        "<td>1</td>",
    ],
    ['<th class="field-at"><a href="/">2</a></th>', "<td>-</td>", "<td>2 KiB</td>", "<td>a</td>"],
]


def test_success_columns_of_numbers_are_marked() -> None:
    headers: list[dict[str, Any]] = [{"text": name} for name in ("at", "events", "size", "name")]
    marked = with_numbers(headers, ROWS)
    assert [header["is_number"] for header in marked] == [False, True, True, False]
    cells = list(labelled(ROWS[0], marked))
    assert cells[0].startswith('<th data-label="At" class=')
    assert cells[1] == '<td data-label="Events" data-number>1,200</td>'


def test_success_a_column_without_values_is_not_marked() -> None:
    headers: list[dict[str, Any]] = [{"text": "seconds"}]
    assert not with_numbers(headers, [["<td>-</td>"], ["<td></td>"]])[0]["is_number"]
    assert not with_numbers(headers, [])[0]["is_number"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "none"),
        (["a", "b"], "a, b"),
        ([1200], "1,200"),
        ({"max_rooms": []}, "max rooms: none"),
        ({"a": [1, True], "b": {"c": None}}, "a: (1, yes), b: c: none"),
        (1200, "1,200"),
        (0.5, "0.5"),
    ],
)
def test_success_values_are_readable(value: Any, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("series", "values", "unit", "scale"),
    [
        (("seconds",), [(1,), (5,)], "s", ["5 s", "2.5 s", "0 s"]),
        (("a", "b"), [(1, 900), (5, 1000)], "", ["2,000", "1,000", "0"]),
        (("size",), [(1,), (1025,)], "bytes", ["2.0 KiB", "1.0 KiB", "0 B"]),
    ],
)
def test_success_the_axis_of_a_chart_reaches_over_its_highest_value(
    series: tuple[str, ...], values: list[tuple[float, ...]], unit: str, scale: list[str]
) -> None:
    points = [
        {
            "label": text,
            "text": text,
            "values": each,
            "url": "",
            "tone": None,
            "at": "",
            "is_gap": False,
        }
        for text, each in zip(("one", "five"), values, strict=True)
    ]
    assert draw_chart({"points": points, "series": series, "unit": unit})["scale"] == scale
