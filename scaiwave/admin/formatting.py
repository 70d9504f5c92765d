"""How the values of fields are shown, in lists and on pages alike."""

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

Show = Callable[[Any], Any]
# What Django shows in lists where there is no value; on pages it would say None.
NOTHING = "-"


def field_display(model: type[Model], name: str) -> Show | str:
    """The name itself, or where Django's own way is not enough a function that shows the field.

    The same function each time, since Django tells columns apart by identity.
    """
    return _shown(model._meta.label, name)


@cache
def _shown(label: str, name: str) -> Show | str:
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    for kind, of in ((DateTimeField, _time), (JSONField, _json), (ForeignKey, _link)):
        if isinstance(field, kind):
            return _named(of(field.attname, field.name), field)
    return name


def _named(show: Show, field: Any) -> Show:
    show.short_description = field.verbose_name  # type: ignore[attr-defined]
    show.admin_order_field = field.name  # type: ignore[attr-defined]
    return show


def _time(attribute: str, name: str) -> Show:
    def show(row: Model) -> SafeString | str:
        at = getattr(row, attribute)
        if at is None:
            return NOTHING
        written = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return format_html('<span class="nowrap">{}</span>', written)

    return show


def _json(attribute: str, name: str) -> Show:
    def show(row: Model) -> SafeString | str:
        value = getattr(row, attribute)
        if value is None:
            return NOTHING
        return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))

    return show


def _link(attribute: str, name: str) -> Show:
    def show(row: Model) -> SafeString | str:
        return link_to(getattr(row, name)) if getattr(row, attribute) else NOTHING

    return show


def link_to(row: Model) -> SafeString:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, row)
