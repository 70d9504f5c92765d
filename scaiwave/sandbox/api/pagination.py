"""Lists by page number, in each of the envelopes that a client must support."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from scaiwave.sandbox.data.population import Rows
from scaiwave.sandbox.http.messages import Request, Response, validation_error
from scaiwave.sandbox.state import SandboxState

ENVELOPES = ("data+pagination", "data+total", "items+total", "data+meta", "bare")


def _parse_number(request: Request, name: str, default: int) -> int:
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


def paginate(
    sandbox: SandboxState, request: Request, rows_at: Callable[[int, int], Rows]
) -> Response:
    """Return one page of a list in the configured envelope, with the request's fault."""
    page = _parse_number(request, "page", 1)
    per_page, limit = _parse_number(request, "per_page", sandbox.per_page), sandbox.refuse_per_page
    if limit is None:
        per_page = max(1, min(per_page, sandbox.max_per_page))
    elif per_page > limit:
        message = f"Input should be less than or equal to {limit}"
        raise validation_error(["query", "per_page"], message, "less_than_equal", str(per_page))
    offset = (page - 1) * per_page
    rule = request.rule
    rows, total = rows_at(rule.shift_offset(offset) if rule else offset, per_page)
    if rule:
        rows, total = rule.edit_page(rows, total)
    return Response(body=_wrap_rows(sandbox.envelope, rows, total, page, per_page))


def _wrap_rows(kind: str, rows: list[str], total: int, page: int, per_page: int) -> bytes:
    """Wrap the rows. The vendor documents no envelope; each of these is an assumption."""
    data = f"[{','.join(rows)}]"
    counts = {"page": page, "per_page": per_page, "total": total}
    pages = {**counts, "total_pages": -(-total // per_page)}
    if kind == "bare":
        return data.encode()
    if kind == "items+total":
        return f'{{"items":{data},"total":{total}}}'.encode()
    if kind == "data+total":
        return f'{{"data":{data},{encode_json(counts)[1:]}'.encode()
    if kind == "data+meta":
        return f'{{"data":{data},"meta":{encode_json(pages)}}}'.encode()
    return f'{{"data":{data},"pagination":{encode_json(pages)},"meta":{{}}}}'.encode()


def encode_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
