"""Filters for large tables: none of them reads the table to find its choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.http import HttpRequest

from scaiwave.site.formatting import format_word
from scaiwave.site.rows import find_row


class ExactValueFilter(admin.FieldListFilter):
    """Appears when a link has selected a value: shows the value, and removes it."""

    def __init__(  # noqa: PLR0917 - as Django calls it
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: admin.ModelAdmin[Any],
        field_path: str,
    ) -> None:
        self.parameter = filter_parameter(field)
        chosen = params.get(self.parameter)
        self.chosen = chosen[-1] if chosen else None
        self.request, self.site = request, model_admin.admin_site
        super().__init__(field, request, params, model, model_admin, field_path)

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def has_output(self) -> bool:
        return self.chosen is not None

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        everything = changelist.get_query_string(remove=[self.parameter])
        yield {"selected": False, "query_string": everything, "display": "All"}
        here = changelist.get_query_string()
        yield {"selected": True, "query_string": here, "display": self._get_display_name()}

    def _get_display_name(self) -> str:
        """Return the row's name. By now Django has rejected values that are not keys.

        Rows outside the account's scope have no name here either.
        """
        if not isinstance(self.field, ForeignKey):
            return str(self.chosen)
        row = find_row(self.site, self.request, self.field.related_model, self.chosen)
        return str(row or self.chosen)


def make_choice_filter(
    name: str, choices: Iterable[str], title: str = ""
) -> type[admin.SimpleListFilter]:
    """Return a filter by the values that a field may have, given here instead of read."""
    values = list(choices)

    class ChoiceFilter(admin.SimpleListFilter):
        parameter_name = name

        def lookups(
            self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
        ) -> list[tuple[str, str]]:
            return [(value, format_word(value)) for value in values]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{name: self.value()}) if self.value() in values else queryset

    ChoiceFilter.title = title or name.replace("_", " ")
    return ChoiceFilter


def filter_parameter(field: Field[Any, Any]) -> str:
    """Return the query parameter that selects the rows with one value of this field."""
    if isinstance(field, ForeignKey):
        return f"{field.name}__{field.target_field.name}__exact"
    return f"{field.name}__exact"
