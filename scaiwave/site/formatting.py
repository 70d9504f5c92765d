"""Formatting of field values, in lists and on pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from html import unescape
from typing import Any, Self
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    ForeignKey,
    IntegerField,
    JSONField,
    Model,
    UUIDField,
)
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join, strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timesince, timeuntil

from scaiwave.console.output import format_bytes
from scaiwave.site.model_admins import ModelField, get_site_admin

Display = Callable[[Any], Any]
# What Django shows in lists for a missing value; on pages it would show None.
EMPTY_VALUE = "-"


class FormattedValue(SafeString):
    """Markup that shows a value, with the value itself, for exports of lists."""

    value: object

    def __new__(cls, html: str, value: object) -> Self:
        formatted = super().__new__(cls, html)
        formatted.value = value
        return formatted


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
    if isinstance(field, CharField) and name == "kind":
        return _make_display(field, format_word)
    if isinstance(field, CharField) and not _ID_NAME.fullmatch(name):
        return name
    formats: tuple[tuple[type[ModelField], Display], ...] = (
        (DateTimeField, format_time),
        (DateField, format_day),
        (JSONField, format_json),
        # Django's red cross would make each no look like a fault.
        (BooleanField, lambda value: "yes" if value else "no"),
        (IntegerField, format_bytes if name.endswith("_bytes") else "{:,}".format),
        (UUIDField, format_id),
        (CharField, format_id),
        (ForeignKey, link_to),
    )
    for field_type, format_value in formats:
        if isinstance(field, field_type) and not field.choices:
            return _make_display(field, format_value)
    return name


def _make_display(field: ModelField, format_value: Display) -> Display:
    def show(row: Model) -> SafeString | str:
        value = getattr(row, field.name)
        return EMPTY_VALUE if value in (None, "") else format_value(value)

    show.__name__ = field.name  # It becomes the class of the cells.
    show.short_description = format_field_title(field)  # type: ignore[attr-defined]
    show.admin_order_field = field.name  # type: ignore[attr-defined]
    show.field_name = field.name  # type: ignore[attr-defined]
    return show


def format_field_title(field: ModelField) -> str:
    """Return the title of a field that its model does not name: "created" for `created_at`."""
    name, title = str(field.name), str(field.verbose_name)
    if title != name.replace("_", " "):
        return title
    if name in _TITLES:
        return _TITLES[name]
    return name.removeprefix("is_").removesuffix("_at").replace("_", " ")


_TITLES = {"id": "ID", "at": "time"}
_ID_NAME = re.compile(r"(?!local_id$).*(_id|sha256)|public_key|signature")
"""Names of the texts that people don't read but compare and copy."""


MAX_TABLE_DEPTH = 4


def format_json(value: object, depth: int = 1) -> SafeString | str:
    """Return a value of JSON as a reader would write it: objects as tables, IDs as IDs."""
    if value in (None, "", {}, []):
        return EMPTY_VALUE
    if isinstance(value, str) and _ID.fullmatch(value):
        return format_id(value)
    if depth > MAX_TABLE_DEPTH or not isinstance(value, list | dict):
        return value_text(value)
    if isinstance(value, dict):
        rows = [(_humanise(name), format_json(each, depth + 1)) for name, each in value.items()]
        return _format_table((), rows)
    if all(isinstance(each, dict) for each in value):
        names = list(dict.fromkeys(name for each in value for name in each))
        cells = [[format_json(each.get(name), depth + 1) for name in names] for each in value]
        return _format_table(map(_humanise, names), cells)
    if any(isinstance(each, list | dict) for each in value):
        return _join_lines(format_json(each, depth + 1) for each in value)
    if any(isinstance(each, str) and _ID.fullmatch(each) for each in value):
        return _join_lines(format_json(each) for each in value)
    return value_text(value)


def load_json(text: str) -> object:
    """Read a text that contains JSON; return it as it is if it does not."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}")
"""A UUID or a SHA-256."""


def _join_lines(lines: Iterable[str]) -> SafeString:
    return format_html_join("", "<div>{}</div>", ((line,) for line in lines))


def _format_table(titles: Iterable[str], rows: Iterable[Sequence[str]]) -> SafeString:
    """Return a table with the first cell of each row as its title."""
    context = {"titles": list(titles), "rows": rows}
    return render_to_string("scaiwave/admin/table.html", context)


def _humanise(name: str) -> str:
    return capfirst(name.replace("_", " "))


def model_url(model: type[Model] | Model, page: str, *args: object) -> str:
    """Return the address of a page of the site's admin of a model."""
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=args)


def link_to(row: Model) -> SafeString:
    url = model_url(row, "change", row.pk)
    return FormattedValue(format_html('<a href="{}">{}</a>', url, format_name(row)), str(row))


def format_name(row: Model) -> str:
    """Return the name of a row as its admin shows it, as HTML if it has a time or an ID."""
    return get_site_admin(admin.site, type(row)).format_name(row)


def strip_markup(text: str) -> str:
    """Return a text for where HTML is impossible. Its times are in UTC, which it names."""
    return unescape(strip_tags(text)) if isinstance(text, SafeString) else text


def link_to_id(model_name: str, row_id: str, text: str) -> SafeString | str:
    """Return a link to a row by the name of its model and its id.

    Returns the text alone for subjects that have no page.
    """
    model = _get_models_by_name().get(model_name)
    shown = text or format_id(row_id)
    if model is None or not row_id:
        return shown
    return format_html('<a href="{}">{}</a>', model_url(model, "change", row_id), shown)


def format_word(value: str) -> str:
    """Return a value of a fixed set as the site writes it: commands and kinds have other forms."""
    return _WORDS.get(value) or " ".join(value.replace("_", " ").replace("-", " ").split())


_WORDS = {
    "participants": "people",
    "suspended_by_hand_at": "suspended since",
    "taken_over": "converted to a manual grant",
}


def value_text(value: object) -> str:
    """Return a value of JSON as a reader would write it."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_part_text, value)) or "none"
    if isinstance(value, dict):
        pairs = (f"{name.replace('_', ' ')}: {_part_text(each)}" for name, each in value.items())
        return ", ".join(pairs) or "none"
    return str(value)


def _part_text(value: object) -> str:
    """Return a part of a value, in brackets if it has parts itself."""
    is_compound = isinstance(value, list | dict) and len(value) > 1
    return f"({value_text(value)})" if is_compound else value_text(value)


@cache
def _get_models_by_name() -> dict[str, type[Model]]:
    registered = [model for model in apps.get_models() if admin.site.is_registered(model)]
    return {str(model._meta.model_name): model for model in registered}


class Tone(StrEnum):
    """What a badge means: the class of its style."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    INFO = "info"
    NEUTRAL = "neutral"


TONE_WORDS = {
    Tone.GOOD: "well",
    Tone.WARN: "needs attention",
    Tone.BAD: "needs action",
    Tone.INFO: "in progress",
}
"""The judgement that a colour stands for; a neutral one stands for none."""


def format_badge(text: str, tone: Tone, reason: str | None = "") -> SafeString:
    """Return a word in the colour of its tone, with the reason beside it."""
    badge = format_html('<span class="badge {}">{}</span>', tone.value, text)
    html = format_html('{} <span class="why">{}</span>', badge, reason) if reason else badge
    return FormattedValue(html, text)


def format_progress(badge: str, *, is_live: bool, **parts: object) -> SafeString:
    """Return the badge of work with its `phases` and its `error`, if it has them.

    The page of a row reads it again while it `is_live`.
    """
    context = {"badge": badge, "is_live": is_live, **parts}
    return render_to_string("scaiwave/admin/progress.html", context)


MAX_FOREIGN_CHARS = 1000


def clean_text(text: str) -> str:
    """Return a text of unknown origin, shortened, and without invisible characters.

    Such characters may change the direction of the text around them.
    """
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in text[:MAX_FOREIGN_CHARS]
    )


def format_clamped(text: str) -> SafeString:
    """Return a text: lists show three lines of it, and the whole on hover."""
    html = format_html('<span class="clamped" title="{}">{}</span>', text, text)
    return FormattedValue(html, text)


def format_id(value: UUID | str) -> SafeString | str:
    """Return an ID: lists show the start of it. A click selects the whole, and a script adds a
    button that copies it."""
    if not value:
        return EMPTY_VALUE
    html = format_html('<code class="id" title="{}">{}</code>', value, value)
    return FormattedValue(html, str(value))


def format_time(at: datetime | None) -> SafeString | str:
    """Return a time in UTC, with its age on hover. A script shows it in the browser's zone."""
    if at is None:
        return EMPTY_VALUE
    text = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    now = timezone.now()
    age = f"in {timeuntil(at, now)}" if at > now else f"{timesince(at, now)} ago"
    html = format_html(
        '<time datetime="{}" title="{} UTC, {}" class="nowrap">{} UTC</time>',
        at.astimezone(UTC).isoformat(),
        text,
        age.replace("\N{NO-BREAK SPACE}", " "),
        text,
    )
    return FormattedValue(html, at)


def format_day(day: date) -> SafeString:
    return FormattedValue(format_html('<span class="nowrap">{}</span>', day.isoformat()), day)


def format_count(number: int) -> SafeString:
    return FormattedValue(f"{number:,}", number)


def format_size(size: int) -> SafeString:
    """Return a number of bytes in binary units."""
    return FormattedValue(format_bytes(size), size)


def format_meter(used: float | None, limit: float | None, text: str) -> SafeString:
    """Return a bar that is yellow from 80% and red from the limit, with the numbers as text.

    Without a limit, and while the use is unknown, there is only the text. The first one uses up a
    limit of 0.
    """
    if used is None or limit is None:
        return FormattedValue(format_html('<span class="meter">{}</span>', text), used)
    scale, value = (limit, min(used, limit)) if limit else (1, min(used, 1))
    # With the optimum below `low`, browsers colour the value by the three parts of the scale.
    html = format_html(
        '<span class="meter">{}<meter min="0" max="{}" low="{}" high="{}" optimum="0" value="{}">'
        "{}</meter></span>",
        text,
        scale,
        scale * NEAR_LIMIT,
        scale * FULL,
        value,
        text,
    )
    return FormattedValue(html, used)


def format_remaining(left: int, total: int, text: str, *, warn_below: int = 0) -> SafeString:
    """Return a bar of the rest, which is yellow below `warn_below` and red at the end."""
    html = format_html(
        '<span class="meter">{}<meter min="0" max="{}" low="{}" high="{}" optimum="{}" value="{}">'
        "{}</meter></span>",
        text,
        total,
        min(1, warn_below),
        warn_below,
        total,
        max(0, min(left, total)),
        text,
    )
    return FormattedValue(html, left)


NEAR_LIMIT = 0.8
FULL = 0.999
"""This share of a limit counts as all of it; browsers need it to be below the maximum."""
