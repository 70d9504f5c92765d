"""Links from a row to the lists of rows that refer to it.

They are derived from the models, so that an app's pages link to apps above it without importing
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scaiwave.site.filters import filter_parameter
from scaiwave.site.formatting import FormattedValue
from scaiwave.site.pagination import MAX_ROWS

_SOFT_REFERENCES: dict[type[Model], list[tuple[type[Model], str]]] = defaultdict(list)


def register_soft_reference(model: type[Model], name: str, *, at: Sequence[type[Model]]) -> None:
    """Register a field that contains ids of rows of other models without being a foreign key."""
    for target in at:
        _SOFT_REFERENCES[target].append((model, name))


def soft_references(model: type[Model]) -> list[str]:
    """Return the fields of a model that contain ids without being foreign keys."""
    pairs = (pair for pairs in _SOFT_REFERENCES.values() for pair in pairs)
    return sorted({name for pointing, name in pairs if pointing is model})


@dataclass(frozen=True)
class RelatedLink:
    label: str
    url: str
    count: int

    @property
    def number(self) -> str:
        return f"{self.count:,}" if self.count <= MAX_ROWS else f"over {MAX_ROWS:,}"


def related_links(site: AdminSite, request: HttpRequest, row: Model) -> list[RelatedLink]:
    """Return the lists that refer to the row and that the account may see, with their counts.

    Reads them with one query.
    """
    fields = [
        field
        for field in _find_pointing_fields(type(row))
        if site.is_registered(field.model)
        and site.get_model_admin(field.model).has_view_permission(request)
    ]
    rows = [_select_rows(site, request, field, row) for field in fields]
    return [
        RelatedLink(_format_label(field, row), list_url(field, row), count)
        for field, count in zip(fields, _count_rows(rows), strict=True)
    ]


def list_url(field: Field[Any, Any], row: Model) -> str:
    """Return the URL of the list of rows that refer to this row by this field."""
    meta = field.model._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{url}?{urlencode({filter_parameter(field): str(row.pk)})}"


def count_link(field: Field[Any, Any], row: Model, count: int) -> SafeString:
    html = format_html('<a href="{}">{}</a>', list_url(field, row), f"{count:,}")
    return FormattedValue(html, count)


def _find_pointing_fields(model: type[Model]) -> list[Field[Any, Any]]:
    fields = [relation.field for relation in model._meta.related_objects]
    keys = [field for field in fields if isinstance(field, ForeignKey)]
    return [*keys, *(pointing._meta.get_field(name) for pointing, name in _SOFT_REFERENCES[model])]  # type: ignore[list-item]


def _format_label(field: Field[Any, Any], row: Model) -> str:
    """Return the model's name, with the field's unless that only repeats the target."""
    plural = str(field.model._meta.verbose_name_plural)
    plain = not isinstance(field, ForeignKey) or field.name == row._meta.model_name
    return plural if plain else f"{plural} ({field.verbose_name})"


def _select_rows(
    site: AdminSite, request: HttpRequest, field: Field[Any, Any], row: Model
) -> QuerySet[Any]:
    """Return the rows that refer to the row by this field and that the account may see."""
    model_admin: Any = site.get_model_admin(field.model)
    rows: QuerySet[Any] = model_admin.get_queryset(request)
    return rows.filter(**{field.name: field.to_python(row.pk)})


def _count_rows(rows: Sequence[QuerySet[Any]]) -> list[int]:
    """Count the rows of each query, up to one more than `MAX_ROWS`."""
    selects: list[str] = []
    values: list[Any] = []
    counts: dict[int, int] = {}
    for number, pointing in enumerate(rows):
        limited = pointing.order_by().values("pk")[: MAX_ROWS + 1]
        try:
            sql, parameters = limited.query.sql_with_params()
        except EmptyResultSet:  # for example for an operator without a tenant
            counts[number] = 0
            continue
        selects.append(f"SELECT {number}, COUNT(*) FROM ({sql}) AS pointing")  # noqa: S608
        values += parameters
    if selects:
        with connections[rows[0].db].cursor() as cursor:
            cursor.execute(" UNION ALL ".join(selects), values)
            counts |= dict(cursor.fetchall())
    return [counts[number] for number in range(len(rows))]
