"""Export of a list as CSV or JSON: every row that it finds, in its order, and each of its columns.

Rows are read while they are sent, so that memory does not grow with the list. Each export is
recorded before its first byte leaves, and once more if it ended early.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from html import unescape
from http import HTTPStatus
from operator import attrgetter
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from scaiwave.console.output import format_csv_lines, format_json_list, strip_control_chars
from scaiwave.core.sql import batched, iter_objects
from scaiwave.extensions import EXPORT_RECORDER
from scaiwave.site.acts import identify_account
from scaiwave.site.formatting import EMPTY_VALUE, FormattedValue, model_url
from scaiwave.site.model_admins import ModelField, ModelKey, SiteAdmin
from scaiwave.web.api import RateLimitExceeded
from scaiwave.web.streaming import PacedStream, StartedStream, can_detect_abort
from scaiwave.web.transfers import reserve_transfer

MAX_BATCH_ROWS = 500
"""Rows that share the queries of their columns."""
MAX_KEPT_TEXTS = 20_000
"""Texts of a column's references that are kept between batches."""
MIN_CHUNK_CHARS = 64 * 1024
MAX_FILTER_CHARS = 200

_CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_NOT_FILTERS = {"q", "p", "o", "e", "all"}
"""What the address of a list has beside filters: search, page, order and flags."""


@dataclass(frozen=True)
class ExportRecord:
    """The record of an export. `rows` counts the rows found, or the rows sent if the export ended
    early. `filters` are the parameters of the list without the search."""

    list_name: str
    format: str
    filters: Mapping[str, str]
    is_searched: bool
    rows: int
    is_aborted: bool = False


@dataclass(frozen=True)
class ExportLink:
    title: str
    url: str


def build_export_links(model_admin: SiteAdmin, request: HttpRequest) -> list[ExportLink]:
    """Return the addresses that export the list as the request shows it, on all its pages."""
    shown = {name: values for name, values in request.GET.lists() if name not in {"p", "e", "all"}}
    query = f"?{urlencode(shown, doseq=True)}" if shown else ""
    return [
        ExportLink(name.upper(), model_url(model_admin.model, "export", name) + query)
        for name in _CONTENT_TYPES
    ]


def export_list(model_admin: SiteAdmin, request: HttpRequest, format_name: str) -> HttpResponseBase:
    """Send the list of the request. Raises PermissionDenied and Http404."""
    if format_name not in _CONTENT_TYPES:
        raise Http404
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not can_detect_abort(request):
        return HttpResponse(
            "HTTP/1.0 is not supported, since a browser could not detect an incomplete file.",
            status=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
            content_type="text/plain; charset=utf-8",
        )
    try:
        with ExitStack() as stack:
            stack.enter_context(reserve_transfer(f"account-{request.user.pk}"))
            response = _start_export(model_admin, request, format_name, stack)
    except RateLimitExceeded as error:
        return _refuse(model_admin, request, error)
    return response


def _refuse(model_admin: SiteAdmin, request: HttpRequest, error: RateLimitExceeded) -> HttpResponse:
    model = model_admin.model
    url = model_url(model, "changelist")
    query = request.GET.urlencode()
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Too many exports",
        "list_title": capfirst(str(model._meta.verbose_name_plural)),
        "page": f"{url}?{query}" if query else url,
        "error": error,
    }
    template = "scaiwave/admin/transfer_limit.html"
    response = render(request, template, context, status=error.http_status)
    response["Retry-After"] = str(error.retry_after_seconds)
    return response


def _start_export(
    model_admin: SiteAdmin, request: HttpRequest, format_name: str, stack: ExitStack
) -> HttpResponseBase:
    """Return the response, which closes the stack when it has been sent."""
    meta = model_admin.model._meta
    try:
        queryset = model_admin.build_changelist(request).queryset
    except IncorrectLookupParameters:
        return HttpResponseRedirect(f"{model_url(model_admin.model, 'changelist')}?e=1")
    name = model_admin.export_name or _format_key(str(meta.verbose_name_plural)).replace("_", "-")
    filters = {
        name[:MAX_FILTER_CHARS]: strip_control_chars(",".join(map(str, values)))[:MAX_FILTER_CHARS]
        for name, values in sorted(request.GET.lists())
        if name not in _NOT_FILTERS and values != [""]
    }
    is_searched = bool(request.GET.get("q", "").strip())
    record = ExportRecord(name, format_name, filters, is_searched, queryset.count())
    queryset = queryset.defer(*model_admin.unexported_fields)
    if not model_admin.list_select_related:  # Pages of rows need more than the file.
        queryset = queryset.select_related(None)
    operator = identify_account(request)
    export = ListExport(
        model_admin,
        queryset,
        _build_columns(model_admin, request),
        record,
        lambda export: EXPORT_RECORDER.load()(operator, export, timezone.now()),
    )
    export.write_record()
    started = StartedStream(export)
    started.release = stack.pop_all().close
    response = StreamingHttpResponse(
        PacedStream(request, started), content_type=_CONTENT_TYPES[format_name]
    )
    response["Content-Disposition"] = (
        f'attachment; filename="{name}-{timezone.now():%Y-%m-%d}.{format_name}"'
    )
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


@dataclass(frozen=True)
class ExportColumn:
    """A column of the file: its key, how it is read from a row, and a function that is called with
    each batch of rows before."""

    key: str
    get_value: Callable[[Model], object]
    prepare: Callable[[Iterable[object]], None] = lambda rows: None


class ListExport:
    """The bytes of an export, to be read once, after `write_record`. `close` it to stop early."""

    def __init__(
        self,
        model_admin: SiteAdmin,
        queryset: QuerySet[Model],
        columns: Sequence[ExportColumn],
        record: ExportRecord,
        write_record: Callable[[ExportRecord], None],
    ) -> None:
        self._model_admin = model_admin
        self._queryset = queryset
        self._columns = columns
        self._record = record
        self._write_record = write_record
        self._sent_rows = 0
        self._has_ended = False
        self._is_closed = False
        self._chunks = self._iter_chunks()

    def write_record(self) -> None:
        self._write_record(self._record)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Release the cursor, and record that the export ended early if it did."""
        if self._is_closed:
            return
        self._is_closed = True
        self._chunks.close()
        if not self._has_ended:
            self._write_record(replace(self._record, rows=self._sent_rows, is_aborted=True))

    def _iter_chunks(self) -> Generator[bytes]:
        with closing(self._iter_rows()) as rows:
            if self._record.format == "csv":
                texts = format_csv_lines([column.key for column in self._columns], rows)
            else:
                values = (
                    {
                        key: each if each is None or isinstance(each, _JSON_TYPES) else str(each)
                        for key, each in row.items()
                    }
                    for row in rows
                )
                texts = format_json_list(self._record.list_name.replace("-", "_"), values)
            parts: list[str] = []
            chars = 0
            for text in texts:
                parts.append(text)
                chars += len(text)
                if chars >= MIN_CHUNK_CHARS:
                    yield "".join(parts).encode()
                    parts, chars = [], 0
            self._has_ended = True
            yield "".join(parts).encode()

    def _iter_rows(self) -> Generator[dict[str, object]]:
        getters = [(column.key, column.get_value) for column in self._columns]
        for batch in batched(iter_objects(self._queryset), MAX_BATCH_ROWS):
            self._model_admin.prefetch_columns(batch)
            for column in self._columns:
                column.prepare(batch)
            for row in batch:
                self._sent_rows += 1
                yield {key: get(row) for key, get in getters}


def _build_columns(model_admin: SiteAdmin, request: HttpRequest) -> list[ExportColumn]:
    """Return the ID, then each column of the list, and of references to rows also their IDs."""
    columns = [ExportColumn("id", attrgetter("pk"))]
    for item in model_admin.get_list_display(request):
        name = str(getattr(item, "field_name", item))
        if name in model_admin.unexported_fields:
            continue
        if given := model_admin.export_columns.get(name):
            columns += [ExportColumn(key, get) for key, get in given.items()]
            continue
        field = _find_field(model_admin.model, name)
        if field is None:
            label = label_for_field(name, model_admin.model, model_admin)
            key = str(getattr(getattr(model_admin, name, None), "export_key", ""))
            key = "name" if name == "__str__" else key or _format_key(str(label))
            columns.append(ExportColumn(key, _read_display(model_admin, name)))
        elif isinstance(field, ForeignKey):
            columns.append(_build_reference(field, is_joined=bool(model_admin.list_select_related)))
            columns.append(ExportColumn(f"{name}_id", attrgetter(field.attname)))
        else:
            columns.append(ExportColumn(name, attrgetter(field.attname)))
    by_key: dict[str, ExportColumn] = {}
    for column in columns:
        by_key.setdefault(column.key, column)
    return list(by_key.values())


def _find_field(model: type[Model], name: str) -> ModelField | None:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, Field) else None


def _format_key(label: str) -> str:
    return re.sub(r"\W+", "_", label.lower()).strip("_")


_JSON_TYPES = (bool, int, float, str, datetime, UUID, Enum, list, tuple, dict)
"""What JSON can have. Everything else, such as days and durations, becomes a text."""


def _build_reference(field: ModelKey, *, is_joined: bool) -> ExportColumn:
    """Return the column with the text of the row that each row refers to."""
    name, get_id = field.name, attrgetter(field.attname)
    if is_joined:
        return ExportColumn(
            name, lambda row: None if get_id(row) is None else str(getattr(row, name))
        )
    texts: dict[object, str] = {}

    def prepare(rows: Iterable[object]) -> None:
        if len(texts) > MAX_KEPT_TEXTS:
            texts.clear()
        missing = {each for each in map(get_id, rows) if each not in texts}
        related = field.related_model._base_manager.filter(pk__in=missing) if missing else ()
        texts.update((each.pk, str(each)) for each in related)

    return ExportColumn(name, lambda row: texts.get(get_id(row)), prepare)


def _read_display(model_admin: SiteAdmin, name: str) -> Callable[[Model], object]:
    """Return what reads a computed column: the value that it shows, or else its text."""
    if name == "__str__":
        return str
    display = getattr(model_admin, name, None)

    def read(row: Model) -> object:
        shown = display(row) if display is not None else getattr(row, name)
        if isinstance(shown, FormattedValue):
            return shown.value
        if isinstance(shown, SafeString):  # Other texts are no markup, whatever they contain.
            shown = " ".join(unescape(strip_tags(shown)).split())
        return None if shown in ("", EMPTY_VALUE) else shown

    return read
