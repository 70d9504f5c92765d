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
from django.db import connections, router
from django.db.models import Field, ForeignKey, Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scaiwave.admin.filters import filter_parameter
from scaiwave.admin.formatting import FormattedValue
from scaiwave.admin.pagination import MAX_ROWS

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


def related_links(site: AdminSite, row: Model) -> list[RelatedLink]:
    """Return the registered lists that refer to the row, with their counts, from one query."""
    fields = [
        field for field in _find_pointing_fields(type(row)) if site.is_registered(field.model)
    ]
    return [
        RelatedLink(_format_label(field, row), list_url(field, row), count)
        for field, count in zip(fields, _count_rows(fields, row), strict=True)
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


def _count_rows(fields: Sequence[Field[Any, Any]], row: Model) -> list[int]:
    """Count the rows that refer to the row by each field, up to `MAX_ROWS`."""
    if not fields:
        return []
    connection = connections[router.db_for_read(type(row))]
    quote = connection.ops.quote_name
    # Names come from the models, so nothing a person typed gets into the SQL.
    selects = [
        f"SELECT {number}, COUNT(*) FROM (SELECT 1 FROM {quote(field.model._meta.db_table)}"  # noqa: S608
        f" WHERE {quote(str(field.column))} = %s LIMIT {MAX_ROWS + 1}) AS pointing"
        for number, field in enumerate(fields)
    ]
    values = [field.get_db_prep_value(field.to_python(row.pk), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), values)
        return [count for _, count in sorted(cursor.fetchall())]
