"""Filters that offer nothing to choose from, for tables that are too big to list choices of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Field, ForeignKey, Model
from django.http import HttpRequest


class ExactValueFilter(admin.FieldListFilter):
    """Appears only when a link has chosen something, says what, and lets go of it."""

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
        super().__init__(field, request, params, model, model_admin, field_path)

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def has_output(self) -> bool:
        return self.chosen is not None

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        everything = changelist.get_query_string(remove=[self.parameter])
        yield {"selected": False, "query_string": everything, "display": "All"}
        here = changelist.get_query_string()
        yield {"selected": True, "query_string": here, "display": self._name()}

    def _name(self) -> str:
        """Asked for when the list is drawn, by when a value that is no key has been refused."""
        if not isinstance(self.field, ForeignKey):
            return str(self.chosen)
        found = self.field.related_model._base_manager.filter(pk=self.chosen).first()
        return str(found or self.chosen)


def filter_parameter(field: Field[Any, Any]) -> str:
    """The name under which a list is asked for the rows with one value of this field."""
    if isinstance(field, ForeignKey):
        return f"{field.name}__{field.target_field.name}__exact"
    return f"{field.name}__exact"
