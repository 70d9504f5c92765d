"""Filters for large tables: none of them reads the table to find its choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest

from scaiwave.site.formatting import format_word
from scaiwave.site.model_admins import ModelField
from scaiwave.site.rows import find_row


class ExactValueFilter(admin.FieldListFilter):
    """Appears when a link has selected a value: shows the value, and removes it."""

    def __init__(  # noqa: PLR0917 - as Django calls it
        self,
        field: ModelField,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: admin.ModelAdmin[Model],
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
        here, row = changelist.get_query_string(), None
        if isinstance(self.field, ForeignKey):  # Django has rejected values that are not keys.
            row = find_row(self.site, self.request, self.field.related_model, self.chosen)
        # Rows outside the account's scope have no name here either.
        yield {"selected": True, "query_string": here, "display": str(row or self.chosen)}


class TypedFilter(admin.ListFilter):
    """Filters by what one types into fields: `fields` has the label and the type of each.

    Fields of the type `date` are days in the zone of this server. `suggests` has the model whose
    rows a field suggests.
    """

    template = "scaiwave/admin/typed_filter.html"
    fields: ClassVar[Mapping[str, tuple[str, str]]] = {}
    suggests: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: admin.ModelAdmin[Model],
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name, (_, kind) in self.fields.items():
            values = params.pop(name, [""])
            if value := values[-1].strip():
                self.used_parameters[name] = _parse_day(value) if kind == "date" else value
        self.others = [
            (name, value)
            for name, values in request.GET.lists()
            for value in values
            if name not in self.fields and name not in {"p", "e"}
        ]

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.fields)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for name, (label, kind) in self.fields.items():
            value = self.used_parameters.get(name, "")
            suggests = self.suggests.get(name, "")
            given = {"value": value, "suggests": suggests}
            yield {"name": name, "label": label, "kind": kind, **given}


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise IncorrectLookupParameters(text) from error


def get_day_start(day: date, days: int = 0) -> datetime:
    """Return the start of a day, or of one some days later, in the zone of this server."""
    try:
        return datetime.combine(day + timedelta(days=days), time.min, settings.LOCAL_ZONE)
    except OverflowError as error:
        raise IncorrectLookupParameters(str(day)) from error


def make_choice_filter(
    name: str, choices: Iterable[str], title: str = ""
) -> type[admin.SimpleListFilter]:
    """Return a filter by the values that a field may have, given here instead of read."""
    values = list(choices)

    class ChoiceFilter(admin.SimpleListFilter):
        parameter_name = name

        def lookups(
            self, request: HttpRequest, model_admin: admin.ModelAdmin[Model]
        ) -> list[tuple[str, str]]:
            return [(value, format_word(value)) for value in values]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
            return queryset.filter(**{name: self.value()}) if self.value() in values else queryset

    ChoiceFilter.title = title or name.replace("_", " ")
    return ChoiceFilter


def filter_parameter(field: ModelField) -> str:
    """Return the query parameter that selects the rows with one value of this field."""
    if isinstance(field, ForeignKey):
        return f"{field.name}__{field.target_field.name}__exact"
    return f"{field.name}__exact"
