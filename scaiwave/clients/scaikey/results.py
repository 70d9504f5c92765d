"""What the client returns about lists and look-ups, and how far each can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaiwave.clients.scaikey.pagination import PageIterator
from scaiwave.clients.scaikey.schemas import MemberRecord
from scaiwave.core.errors import ScaiWaveError


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """ScaiKey's response about one id: the `record`, or that it `is_missing`, or no answer.

    Without an answer nothing is proven; `reason` has the cause, and `is_forbidden` is true for a
    403 of ScaiKey's own.
    """

    record: Any = None
    is_missing: bool = False
    is_forbidden: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MemberList:
    """The members of one group, each once.

    `repeated` and `unusable` count records that were listed twice or can't be read. `page_size` is
    the number of records on the first page. `is_complete` is true if the list was read to its end,
    matches every reported total and has no such record.
    """

    records: list[MemberRecord]
    repeated: int
    unusable: int
    page_size: int
    is_complete: bool


@dataclass(frozen=True)
class UnreadableList:
    """A list that can't be read, and why: an `UpstreamError`, a 403, or any other refusal."""

    error: ScaiWaveError


@dataclass(frozen=True)
class PartialList:
    """A part of a collection; `pages` shows how it ended."""

    records: list[Any]
    pages: PageIterator[Any]
