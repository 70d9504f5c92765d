"""The filters of the admin site's templates."""

from __future__ import annotations

from typing import Any

import pytest

from scaiwave.site.acts import ActLink
from scaiwave.site.charts import draw_chart
from scaiwave.site.formatting import value_text
from scaiwave.templatetags.scaiwave_admin import labelled, with_code, with_numbers, with_primary

CELLS = [
    '<th class="field-at"><a href="/">1</a></th>',
    "<td>1,200</td>",
    "<td>-</td>",
    "<td>2</td>",
]


class FakeList:
    """A list whose second and third columns are numbers, whatever it shows."""

    list_display = ("at", "events", "size", "name")

    class model_admin:  # noqa: N801 - as Django names it
        @staticmethod
        def is_number_column(name: str) -> bool:
            return name in {"events", "size"}


def test_success_columns_of_numbers_are_marked() -> None:
    headers: list[dict[str, Any]] = [{"text": name} for name in FakeList.list_display]
    marked = with_numbers(headers, FakeList)
    assert [header["is_number"] for header in marked] == [False, True, True, False]
    cells = list(labelled(CELLS, marked))
    assert cells[0].startswith('<th data-label="At" class=')
    assert cells[1] == '<td data-label="Events" data-number>1,200</td>'


def test_success_dates_stay_in_one_line() -> None:
    text = with_code("Due on 2026-11-28 <b>, see `x 2026-11-28`")
    assert text == (
        'Due on <span class="nowrap">2026-11-28</span> &lt;b&gt;, see <code>x 2026-11-28</code>'
    )


def test_success_a_destructive_act_is_not_the_first() -> None:
    suspend, limits = (
        ActLink("Suspend", "/s", is_destructive=True),
        ActLink("Limits", "/l", is_destructive=False),
    )
    hold = ActLink("Place a hold", "/h", is_destructive=False, is_rare=True)
    assert with_primary([suspend, hold, limits]) == (limits, [hold, suspend])
    assert with_primary([suspend]) == (None, [suspend])


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
