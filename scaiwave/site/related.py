"""Links from a row to the lists of rows that refer to it.

They are derived from the models, so that an app's pages link to apps above it without importing
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import EmptyResultSet
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scaiwave.core.sql import fetch
from scaiwave.site.filters import filter_parameter
from scaiwave.site.formatting import FormattedValue, model_url
from scaiwave.site.model_admins import ModelField
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
    keys = [relation.field for relation in row._meta.related_objects]
    pointing: list[Any] = [field for field in keys if isinstance(field, ForeignKey)]
    pointing += [model._meta.get_field(name) for model, name in _SOFT_REFERENCES[type(row)]]
    fields, rows = [], []
    for field in pointing:
        if site.is_registered(field.model):
            model_admin = site.get_model_admin(field.model)
            if model_admin.has_view_permission(request):
                value = field.to_python(row.pk)
                fields.append(field)
                rows.append(model_admin.get_queryset(request).filter(**{field.name: value}))
    return [
        RelatedLink(_format_label(field, row), list_url(field, row), count)
        for field, count in zip(fields, count_rows(rows, MAX_ROWS + 1), strict=True)
    ]


def list_url(field: ModelField, row: Model) -> str:
    """Return the URL of the list of rows that refer to this row by this field."""
    query = urlencode({filter_parameter(field): str(row.pk)})
    return f"{model_url(field.model, 'changelist')}?{query}"


def count_link(field: ModelField, row: Model, count: int) -> SafeString:
    html = format_html('<a href="{}">{}</a>', list_url(field, row), f"{count:,}")
    return FormattedValue(html, count)


def _format_label(field: ModelField, row: Model) -> str:
    """Return the model's name, with the field's unless that only repeats the target."""
    plural = str(field.model._meta.verbose_name_plural)
    plain = not isinstance(field, ForeignKey) or field.name == row._meta.model_name
    return plural if plain else f"{plural} ({field.verbose_name})"


def count_rows(queries: Sequence[QuerySet[Model]], limit: int) -> list[int]:
    """Return the number of rows of each query, up to a limit. Reads them with one query."""
    selects: list[str] = []
    values: list[Any] = []
    for number, rows in enumerate(queries):
        with suppress(EmptyResultSet):  # for example for an operator without a tenant
            sql, parameters = rows.order_by().values("pk")[:limit].query.sql_with_params()
            selects.append(f"SELECT {number}, COUNT(*) FROM ({sql}) AS limited")  # noqa: S608
            values += parameters
    counts: dict[int, int] = dict(fetch(" UNION ALL ".join(selects), values)) if selects else {}
    return [counts.get(number, 0) for number in range(len(queries))]
