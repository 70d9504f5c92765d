"""What a change did: one result, which --json, the terminal and the admin site print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scaiwave.core.errors import ScaiWaveError


class ChangeResult:
    """The base of all results. A subclass is for answers that are more than a `Change`."""

    @property
    def sentence(self) -> str:
        raise NotImplementedError

    @property
    def lines(self) -> Sequence[str]:
        return [self.sentence]

    @property
    def warnings(self) -> Sequence[str]:
        return ()

    @property
    def error(self) -> ScaiWaveError | None:
        return None

    def document(self) -> dict[str, object]:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        raise NotImplementedError


class ChangeWords(NamedTuple):
    """The sentences of an act: of its dry run, of a change, and of a call that changes nothing.

    They name values of the record in braces. `kind` is the key of the record in JSON. The last two
    are its part of the total of a bulk act, if it changed or not, with `{count}` for the number.
    """

    kind: str
    would: str
    done: str
    same: str = ""
    counted: str = ""
    counted_same: str = ""


@dataclass(frozen=True)
class Change(ChangeResult):
    """`subject` is the record as it is now, or as it would be.

    `changed` is False if there was nothing to change, and in a dry run. `names` are further values
    for the sentences, `rest` are further keys of the JSON document, and `notes` further lines.
    """

    words: ChangeWords
    subject: Any
    changed: bool = False
    dry_run: bool = False
    names: Mapping[str, object] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    cautions: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def sentence(self) -> str:
        words = self.words
        text = words.would if self.dry_run else words.done if self.changed else words.same
        known = self.subject if isinstance(self.subject, dict) else {}
        return text.format(**{**known, **self.names})

    @property
    def outcome(self) -> str:
        """Return its part of the total of a bulk act, still with `{count}`."""
        is_change = self.changed or self.dry_run
        text = self.words.counted if is_change else self.words.counted_same
        return text.format(**{**self.names, "count": "{count}"})

    @property
    def lines(self) -> Sequence[str]:
        return [line for line in (self.sentence, *self.notes) if line]

    @property
    def warnings(self) -> Sequence[str]:
        return self.cautions

    def document(self) -> dict[str, Any]:
        changed = self.changed or self.dry_run
        return {self.words.kind: self.subject, "changed": changed, **self.rest}
