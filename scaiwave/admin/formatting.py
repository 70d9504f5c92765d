"""Formatting of field values, in lists and on pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC
from functools import cache
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField, ForeignKey, JSONField, Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

Display = Callable[[Any], Any]
# What Django shows in lists for a missing value; on pages it would show None.
EMPTY_VALUE = "-"


def field_display(model: type[Model], name: str) -> Display | str:
    """Return a function that displays the field, or its name if Django's own display will do.

    It is the same function each time, since Django distinguishes columns by identity.
    """
    return _build_display(model._meta.label, name)


@cache
def _build_display(label: str, name: str) -> Display | str:
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    for field_type, make_display in (
        (DateTimeField, _make_time_display),
        (JSONField, _make_json_display),
        (ForeignKey, _make_link_display),
    ):
        if isinstance(field, field_type):
            return _set_column_attributes(make_display(field.attname, field.name), field)
    return name


def _set_column_attributes(show: Display, field: Any) -> Display:
    show.short_description = field.verbose_name  # type: ignore[attr-defined]
    show.admin_order_field = field.name  # type: ignore[attr-defined]
    return show


def _make_time_display(attribute: str, name: str) -> Display:
    def show(row: Model) -> SafeString | str:
        at = getattr(row, attribute)
        if at is None:
            return EMPTY_VALUE
        text = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return format_html('<span class="nowrap">{}</span>', text)

    return show


def _make_json_display(attribute: str, name: str) -> Display:
    def show(row: Model) -> SafeString | str:
        value = getattr(row, attribute)
        if value is None:
            return EMPTY_VALUE
        return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))

    return show


def _make_link_display(attribute: str, name: str) -> Display:
    def show(row: Model) -> SafeString | str:
        return link_to(getattr(row, name)) if getattr(row, attribute) else EMPTY_VALUE

    return show


def link_to(row: Model) -> SafeString:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, row)
