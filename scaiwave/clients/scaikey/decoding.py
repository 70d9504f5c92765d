"""Decode a page of a list, or one record, and set aside the records that can't be used.

A page is decoded in one call. If that fails it is decoded record by record, so that one bad record
does not spoil the others. Messages name collection, page, row and field, never a value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

import httpx
import msgspec

from scaiwave.clients.scaikey.schemas import (
    CONTROL_CHARACTERS,
    MAX_ID_CHARS,
    PageEnvelope,
    ScaiKeyRecord,
)
from scaiwave.core.errors import UpstreamInvalidResponse
from scaiwave.core.json_types import JsonValue
from scaiwave.core.msgspec_decoders import get_decoder

AnyRecord = TypeVar("AnyRecord", bound=ScaiKeyRecord)
T = TypeVar("T")

_ERROR_WITH_PATH = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
# How a control character can be written in JSON: escaped, or (DEL and C1) as its UTF-8 bytes.
_ENCODED_CONTROL = re.compile(
    rb"\\(?:[bfnrt]|u00[01][0-9a-f]|u007f|u00[89][0-9a-f])|\x7f|\xc2[\x80-\x9f]", re.IGNORECASE
)


@dataclass(frozen=True)
class UnusableRecord:
    """A record of a list that can't be used; `id` is empty if it can't be read."""

    id: str
    place: str
    reason: str


@dataclass(frozen=True)
class RecordPage(Generic[AnyRecord]):
    """One page of a list; `total` and `pages` are None if the server did not report them."""

    records: list[AnyRecord]
    total: int | None
    pages: int | None
    unusable: list[UnusableRecord] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.records) + len(self.unusable)


def decode_page(
    body: bytes, kind: type[AnyRecord], *, source: str, number: int
) -> RecordPage[AnyRecord]:
    """Decode page `number` of a list; `source` names it, as in `GET /api/v1/admin/users/`.

    Raises UpstreamInvalidResponse if the body is not a list.
    """
    place = f"page {number} of {source}"
    try:
        decoded = get_decoder(list[kind] | PageEnvelope[kind]).decode(body)  # type: ignore[valid-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_one_by_one(body, kind, place)
    if isinstance(decoded, list):
        page = RecordPage(records=decoded, total=None, pages=None)
    else:
        page = _build_page(decoded, decoded.records(), [], place)
    # Searching single bytes is much faster than a pattern.
    is_suspect = b"\\" in body or b"\x7f" in body or b"\xc2" in body
    if is_suspect and _ENCODED_CONTROL.search(body):
        return _strip_control_characters(page, place)
    return page


def decode_item(body: bytes, kind: type[AnyRecord], *, source: str) -> AnyRecord:
    """Decode one record, bare or under `data`. Raises UpstreamInvalidResponse."""
    document = _load_json(body, source)
    if isinstance(document, dict) and "id" not in document and "data" in document:
        document = document["data"]
    try:
        return _convert(document, kind)
    except msgspec.ValidationError as error:
        problem = _format_problem(error)
    raise _invalid(problem, source)


def decode_response(body: bytes, kind: type[T], *, source: str, service: str = "ScaiKey") -> T:
    """Decode any other response, as `kind`. Raises UpstreamInvalidResponse."""
    try:
        decoded: T = get_decoder(kind).decode(body)
        return decoded
    except msgspec.ValidationError as error:
        problem = _format_problem(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = "it is not JSON"
    raise _invalid(problem, source, service)


def decode_answer(response: httpx.Response, kind: type[T], *, service: str) -> T:
    """Decode a response of another service. Raises UpstreamInvalidResponse."""
    source = f"{response.request.method} {response.request.url.path}"
    return decode_response(response.content, kind, source=source, service=service)


def _build_page(
    envelope: PageEnvelope[AnyRecord],
    records: list[AnyRecord] | None,
    unusable: list[UnusableRecord],
    place: str,
) -> RecordPage[AnyRecord]:
    if records is None:
        raise _invalid("no list in `data` or `items`", place)
    if envelope.error or envelope.errors:
        raise _invalid("it is a list beside an error", place)  # The list may lack anything.
    row_totals = (totals.get_total_rows() for totals in envelope.totals())
    page_totals = (totals.get_total_pages() for totals in envelope.totals())
    return RecordPage(
        records=records,
        total=next((number for number in row_totals if number is not None), None),
        pages=next((number for number in page_totals if number is not None), None),
        unusable=unusable,
    )


def _decode_one_by_one(body: bytes, kind: type[AnyRecord], place: str) -> RecordPage[AnyRecord]:
    document = _load_json(body, place)
    rows, envelope = document, PageEnvelope[kind]()  # type: ignore[valid-type]
    if isinstance(document, dict):
        key = "items" if document.get("data") is None else "data"
        rows = document.get(key)
        try:
            unread = {**document, "data": None, "items": None}
            envelope = msgspec.convert(unread, PageEnvelope[kind])  # type: ignore[valid-type]
        except msgspec.ValidationError as error:
            problem = _format_problem(error)
            raise _invalid(problem, place) from None
    if not isinstance(rows, list):
        raise _invalid("no list in `data` or `items`", place)
    records: list[AnyRecord] = []
    unusable = []
    for index, row in enumerate(rows):
        try:
            records.append(_convert(row, kind))
        except msgspec.ValidationError as error:
            row_place = f"row {index} of {place}"
            unusable.append(UnusableRecord(_read_id(row), row_place, _format_problem(error)))
    return _build_page(envelope, records, unusable, place)


def _convert(row: JsonValue, kind: type[AnyRecord]) -> AnyRecord:
    """Convert one record. Raises msgspec.ValidationError."""
    record = msgspec.convert(row, kind)
    try:
        record.strip_control_characters()
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from None
    return record


def _strip_control_characters(page: RecordPage[AnyRecord], place: str) -> RecordPage[AnyRecord]:
    records, unusable = [], []
    for index, record in enumerate(page.records):
        try:
            record.strip_control_characters()
        except ValueError as error:
            unusable.append(UnusableRecord("", f"row {index} of {place}", _lower_first(str(error))))
        else:
            records.append(record)
    return RecordPage(records=records, total=page.total, pages=page.pages, unusable=unusable)


def _read_id(row: JsonValue) -> str:
    """Return the id of an unusable record, so that its local row can be left unchanged."""
    value = row.get("id") if isinstance(row, dict) else None
    is_usable = isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS
    return str(value) if is_usable and not CONTROL_CHARACTERS.search(str(value)) else ""


def _load_json(body: bytes, place: str) -> JsonValue:
    """Load JSON leniently: a lone surrogate then spoils one text, not the whole page."""
    try:
        document: JsonValue = json.loads(body, parse_constant=_refuse_constant)
        return document
    except (ValueError, RecursionError):
        pass
    raise _invalid("it is not JSON", place)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _format_problem(error: msgspec.ValidationError) -> str:
    matched = _ERROR_WITH_PATH.fullmatch(str(error))
    text, path = matched.groups() if matched else (str(error), None)
    return f"{_lower_first(text)} at `{path}`" if path else _lower_first(text)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _invalid(problem: str, place: str, service: str = "ScaiKey") -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse(
        f"Invalid response from {service}, {place}: {problem}.",
        fix=f"Check that SCAIWAVE_{service.upper()}_URL is the address of {service}; if it is, "
        f"report this to the operators of {service}.",
    )
