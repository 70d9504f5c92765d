"""Pages that cost the same however long the table is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

# Counting a million rows, or skipping them, takes a database seconds. Nobody reads that far.
MAX_ROWS = 10_000


class CappedPaginator(_Paginator):
    """Knows the first `MOST_ROWS` rows, and whether there are more."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        return min(self._counted, MAX_ROWS)

    @property
    def there_are_more(self) -> bool:
        return self._counted > MAX_ROWS

    @cached_property
    def _counted(self) -> int:
        return int(self.object_list.order_by()[: MAX_ROWS + 1].count())
