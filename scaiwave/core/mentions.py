"""Find texts that mention one of many names, and remove them from rows about other things too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from django.db.models import QuerySet

_WORD = re.compile(r"\w+")


class Mentions:
    """Names to look for, as whole words and in any case.

    A name is not looked for in `others`: with the other `acme-labs`, a text about this one alone
    does not mention `acme`.
    """

    def __init__(self, names: Iterable[str], others: Iterable[str] = ()) -> None:
        self._by_first_word: dict[str, set[str]] = {}
        own, self._others = set[str](), re.compile("(?!)")
        for name in names:
            if first := _WORD.search(folded := name.casefold().strip()):
                own.add(folded)
                rest = folded[first.start() :]
                self._by_first_word.setdefault(first[0], set()).add(rest)
        similar = {other.casefold().strip() for other in others if self.are_in(other)} - own
        if similar:
            pattern = "|".join(map(re.escape, sorted(similar, key=len, reverse=True)))
            self._others = re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])")

    def are_in(self, text: str) -> bool:
        folded = self._others.sub(" ", text.casefold())
        return any(
            folded.startswith(name, word.start())
            and not _WORD.match(folded, word.start() + len(name))
            for word in _WORD.finditer(folded)
            for name in self._by_first_word.get(word[0], ())
        )

    def redact(self, value: object) -> object:
        """Return a JSON value without the texts and the elements of lists that mention a name."""
        if isinstance(value, str):
            return "" if self.are_in(value) else value
        if isinstance(value, list):
            return [
                self.redact(each)
                for each in value
                if not self.are_in(json.dumps(each, ensure_ascii=False, default=str))
            ]
        if isinstance(value, dict):
            return {key: self.redact(each) for key, each in value.items()}
        return value


@dataclass(frozen=True)
class ErasedTenant:
    """A tenant that is being erased. `mentions` finds its names and IDs, and its people's."""

    tenant_id: UUID
    mentions: Mentions


@dataclass(frozen=True)
class TextPlace:
    """A `TenantPlace`: rows about the whole server that may mention a tenant.

    The texts are removed from their fields, or with `deletes` the rows themselves.
    """

    name: str
    select: Callable[[], QuerySet[Any]]
    fields: tuple[str, ...]
    deletes: bool = False

    def count(self, tenant: ErasedTenant) -> int:
        return sum(1 for _ in self._find(tenant))

    def erase(self, tenant: ErasedTenant) -> None:
        for key, values in list(self._find(tenant)):
            rows = self.select().filter(pk=key)
            if self.deletes:
                rows.delete()
            else:
                rows.update(**values)

    def _find(self, tenant: ErasedTenant) -> Iterable[tuple[object, dict[str, object]]]:
        rows = self.select().order_by("pk").values("pk", *self.fields)
        for row in rows.iterator(chunk_size=500):
            values = {name: tenant.mentions.redact(row[name]) for name in self.fields}
            if any(values[name] != row[name] for name in self.fields):
                yield row["pk"], values
