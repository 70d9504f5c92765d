"""Decodes one page, or one item, in a single call; says where a malformed row sits.

Messages name collection, page, row and field, and never what is in them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from scaiwave.clients.scaikey.schemas import PageEnvelope, RecordRef, ScaiKeyRecord
from scaiwave.errors import UpstreamInvalidResponse
from scaiwave.msgspec_decoders import get_decoder

AnyRow = TypeVar("AnyRow", bound=ScaiKeyRecord)

_PATH = re.compile(r"\$(?:\.data|\.items)?\[(\d+)\]\.?(.*)")
_ANY_PATH = re.compile(r"(.*?)(?: - at `(\$.*)`)?", re.DOTALL)
_NUL_ESCAPED = b"\\u0000"


@dataclass(frozen=True)
class Page(Generic[AnyRow]):
    """`total` and `pages` are None where the server did not tell them."""

    rows: list[AnyRow]
    total: int | None
    pages: int | None


class DecodeError(Exception):
    """Carries what is wrong and where; `nonsense` makes the operator's error of it."""

    def __init__(self, what: str, *, row: int | None = None, field: str = "") -> None:
        super().__init__(what)
        self.what, self.row, self.field = what, row, field


def decode_page(body: bytes, kind: type[AnyRow], *, called: str, page: int) -> Page[AnyRow]:
    """Decode one page of a collection; `called` names it, as in `GET /api/v1/admin/users/`.

    Raises UpstreamInvalidResponse.
    """
    try:
        return _page(body, kind)
    except DecodeError as malformed:
        problem = _nonsense(malformed, f"page {page} of {called}")
    raise problem


def decode_item(body: bytes, kind: type[AnyRow], *, called: str) -> AnyRow:
    """One row, bare or under `data`. Raises UpstreamInvalidResponse."""
    try:
        row: AnyRow = _decode(_unwrapped(body), kind)
        _check_texts([row], body)
    except DecodeError as malformed:
        problem = _nonsense(malformed, called)
    else:
        return row
    raise problem


def decode_answer(body: bytes, kind: Any, *, called: str, service: str = "ScaiKey") -> Any:
    """Any other answer, as `kind`. Raises UpstreamInvalidResponse."""
    try:
        return _decode(body, kind)
    except DecodeError as malformed:
        problem = _nonsense(malformed, called, service)
    raise problem


def _page(body: bytes, kind: type[AnyRow]) -> Page[AnyRow]:
    decoded = _decode(body, list[kind] | PageEnvelope[kind])  # type: ignore[valid-type]
    if isinstance(decoded, list):
        page = Page(rows=decoded, total=None, pages=None)
    else:
        rows = decoded.rows()
        if rows is None:
            raise DecodeError("neither `data` nor `items` holds a list")
        places = decoded.places()
        page = Page(
            rows=rows,
            total=next((n for place in places if (n := place.rows_told()) is not None), None),
            pages=next((n for place in places if (n := place.pages_told()) is not None), None),
        )
    _check_texts(page.rows, body)
    return page


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return get_decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        malformed = _located(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        malformed = _undecodable(body)
    raise malformed


def _located(text: str) -> DecodeError:
    matched = _ANY_PATH.fullmatch(text)
    what, path = matched.groups() if matched else (text, None)
    row = _PATH.fullmatch(path or "")
    if row is None:
        return DecodeError(f"{_lower(what)} at `{path}`" if path else _lower(what))
    return DecodeError(_lower(what), row=int(row[1]), field=row[2])


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _undecodable(body: bytes) -> DecodeError:
    """msgspec refuses half a surrogate pair without saying where; json reads it, so we can look."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return DecodeError("it is not JSON")
    rows = answer
    if isinstance(answer, dict):
        rows = answer["data"] if isinstance(answer.get("data"), list) else answer.get("items")
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        for field, value in row.items() if isinstance(row, dict) else []:
            if _has_surrogate(value):
                return DecodeError("half a surrogate pair", row=index, field=field)
    return DecodeError("it is not JSON")


def _has_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_texts(rows: list[AnyRow], body: bytes) -> None:
    """Refuse U+0000, which PostgreSQL can't store. In JSON it can only be written escaped, so
    that nearly every page is through with one search."""
    if _NUL_ESCAPED not in body:
        return
    for index, row in enumerate(rows):
        for field in row.__struct_fields__:
            if _has_nul(getattr(row, field)):
                raise DecodeError("a text with U+0000", row=index, field=field)


def _has_nul(value: object) -> bool:
    if isinstance(value, RecordRef):
        return "\0" in value.id
    if isinstance(value, tuple):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


class _Probe(msgspec.Struct):
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _unwrapped(body: bytes) -> bytes | msgspec.Raw:
    probe = _decode(body, _Probe)
    wrapped = probe.id is msgspec.UNSET and probe.data is not msgspec.UNSET
    return probe.data if wrapped else body


def _nonsense(
    malformed: DecodeError, called: str, service: str = "ScaiKey"
) -> UpstreamInvalidResponse:
    details: dict[str, Any] = {}
    place = called
    if malformed.row is not None:
        place = f"row {malformed.row} of {called}"
        details = {"row": malformed.row, "field": malformed.field}
    field = f", field `{malformed.field}`" if malformed.field else ""
    return UpstreamInvalidResponse(
        f"{service}'s answer can't be read, {place}{field}: {malformed.what}.",
        fix=f"Check that SCAIWAVE_{service.upper()}_URL is {service}'s address; if it is, report "
        "this to who runs it. Nothing was changed.",
        **details,
    )
