"""Lists by page number, in any of the envelopes that a client may meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from scaiwave.sandbox.data.population import Rows
from scaiwave.sandbox.http.routing import Request, Response, validation_error

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

ENVELOPES = ("data+pagination", "data+total", "items+total", "data+meta", "bare")


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise validation_error(["query", name], message, "int_parsing", text) from None
    if value < 1:
        message = "Input should be greater than or equal to 1"
        raise validation_error(["query", name], message, "greater_than_equal", text)
    return value


def paginate(sandbox: Sandbox, request: Request, rows_at: Callable[[int, int], Rows]) -> Response:
    """One page of a list, in the envelope of the day, spoilt when a fault says so."""
    page = _number(request, "page", 1)
    per_page = _per_page(sandbox, request)
    offset = (page - 1) * per_page
    rule = request.rule
    rows, total = rows_at(rule.shift_offset(offset) if rule else offset, per_page)
    if rule:
        rows, total = rule.edit_page(rows, total)
    return Response(body=_envelope(sandbox.envelope, rows, total, page, per_page))


def _per_page(sandbox: Sandbox, request: Request) -> int:
    """Cap a page that is too big silently, or refuse it where `refuse_per_page` says so."""
    asked = _number(request, "per_page", sandbox.per_page)
    limit = sandbox.refuse_per_page
    if limit is None:
        return max(1, min(asked, sandbox.max_per_page))
    if asked > limit:
        message = f"Input should be less than or equal to {limit}"
        raise validation_error(["query", "per_page"], message, "less_than_equal", str(asked))
    return asked


def _envelope(kind: str, rows: list[str], total: int, page: int, per_page: int) -> bytes:
    """The vendor documents no envelope; each of these is an assumption that a client meets."""
    listed = f"[{','.join(rows)}]"
    figures = {"page": page, "per_page": per_page, "total": total}
    pages = {**figures, "total_pages": -(-total // per_page)}
    if kind == "bare":
        return listed.encode()
    if kind == "items+total":
        return f'{{"items":{listed},"total":{total}}}'.encode()
    if kind == "data+total":
        return f'{{"data":{listed},{encode_rows(figures)[1:]}'.encode()
    if kind == "data+meta":
        return f'{{"data":{listed},"meta":{encode_rows(pages)}}}'.encode()
    return f'{{"data":{listed},"pagination":{encode_rows(pages)},"meta":{{}}}}'.encode()


def encode_rows(value: Any) -> str:
    return msgspec.json.encode(value).decode()
