"""Pagination whose cost does not grow with the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

if TYPE_CHECKING:
    _Paginator = Paginator[object]
else:
    _Paginator = Paginator

# Counting or skipping a million rows takes a database seconds, and no one reads that far.
MAX_ROWS = 10_000


class CappedPaginator(_Paginator):
    """Shows the first `MAX_ROWS` rows, and whether there are more."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        return min(self._capped_count, MAX_ROWS)

    @property
    def is_capped(self) -> bool:
        return self._capped_count > MAX_ROWS

    @cached_property
    def _capped_count(self) -> int:
        return int(self.object_list.order_by()[: MAX_ROWS + 1].count())
