"""Check a chain of seals, and the entries of a day, for the database and for exports."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple, Self

from scaiwave.core.clock import MAX_CLOCK_AHEAD
from scaiwave.core.signatures import KnownKey
from scaiwave.extensions import SERVER_SIGNER
from tenants.audit.queries.format import (
    ID_BYTES,
    MIN_AUDIT_DAYS,
    PRUNING_FORMAT,
    RECORD_BYTES,
    SEAL_FORMAT,
    VERSION,
    encode_id,
    format_id,
    hash_statement,
)
from tenants.audit.queries.problems import MAX_LISTED_OF_DAY, Kind, Problem, Problems
from tenants.audit.queries.records import SealRow

_DAY = timedelta(days=1)


class Seal(NamedTuple):
    """What a seal states. `digest` is the SHA-256 of the statement."""

    number: int
    day: date
    entries: int
    entries_sha256: str
    previous_sha256: str
    key_id: str
    sealed_at: datetime
    digest: str


class KeptSeal(NamedTuple):
    """A seal that someone noted where this server can't write: `67:079d62ac…`."""

    number: int
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        if not (match := re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", text)):
            raise ValueError(text)
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


class Pruning(NamedTuple):
    through: date
    pruned_at: datetime
    seal_sha256: str
    key_id: str


def parse_seal(statement: str) -> Seal | None:
    """Return None for a text that is not a statement of this version."""
    values = _parse_statement(statement, SEAL_FORMAT)
    try:
        return Seal(
            _expect(values, "number", int),
            _parse_day(_expect(values, "day", str)),
            _expect(values, "entries", int),
            _expect(values, "entries_sha256", str),
            _expect(values, "previous_sha256", str),
            _expect(values, "key_id", str),
            _parse_time(_expect(values, "sealed_at", str)),
            hash_statement(statement),
        )
    except (KeyError, ValueError):
        return None


def parse_pruning(statement: str) -> Pruning | None:
    values = _parse_statement(statement, PRUNING_FORMAT)
    try:
        return Pruning(
            _parse_day(_expect(values, "through", str)),
            _parse_time(_expect(values, "pruned_at", str)),
            _expect(values, "seal_sha256", str),
            _expect(values, "key_id", str),
        )
    except (KeyError, ValueError):
        return None


def _parse_statement(statement: str, expected: str) -> Mapping[str, Any]:
    try:
        values = json.loads(statement)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict) or values.get("format") != expected:
        return {}
    return values if values.get("version") == VERSION else {}


def _expect(values: Mapping[str, Any], name: str, kind: type) -> Any:
    if type(values[name]) is not kind:
        raise ValueError(name)
    return values[name]


def _parse_day(text: str) -> date:
    """Raises ValueError, including for days that entries can't have."""
    day = date.fromisoformat(text)
    if not 1970 <= day.year < date.max.year:
        raise ValueError(text)
    return day


def _parse_time(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(text)
    return parsed


def find_signature_problem(
    statement: str, signature: str, key: KnownKey, signed_at: datetime
) -> str:
    """Return the fault of a signature as the rest of a sentence, or an empty text.

    A key that was rotated or revoked since verifies its older signatures.
    """
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    data = statement.encode("utf-8", "surrogatepass")
    if base64.b64encode(raw).decode() != signature or not SERVER_SIGNER.load()().verify(
        data, raw, key
    ):
        return f"does not match key {key.key_id}"
    if key.revoked_at is not None and signed_at >= key.revoked_at:
        return f"is dated after key {key.key_id} was revoked"
    if key.verifies_until is not None and signed_at - key.verifies_until >= MAX_CLOCK_AHEAD:
        return f"is dated after key {key.key_id} expired"
    return ""


class ChainCheck:
    """Takes the seals in the order of their numbers.

    Each seal contains the SHA-256 of the one before it, so the signature of the newest confirms
    all: only its key must be trusted. `trusted` are IDs of keys. `is_complete` is false for an
    export, which may begin with any seal. `kept` must all be in the chain: only they show that it
    was not cut and signed again from there on, by this server itself.
    """

    def __init__(
        self,
        keys: Mapping[str, KnownKey],
        trusted: Collection[str],
        problems: Problems,
        *,
        is_complete: bool,
        kept: Collection[KeptSeal] = (),
    ) -> None:
        self.seals = 0
        self.first: Seal | None = None
        self.last: Seal | None = None
        self.last_number = 0
        self.key_ids: set[str] = set()
        self._keys, self._trusted, self._problems = keys, trusted, problems
        self._is_complete = is_complete
        self._kept = set(kept)
        self._is_linked = True

    @property
    def newest_seal(self) -> str | None:
        return str(KeptSeal(self.last.number, self.last.digest)) if self.last else None

    def add(self, row: SealRow) -> Seal | None:
        """Check a seal; return None if it can't be used to check entries."""
        seal = parse_seal(row.statement)
        if seal is None or not self._matches(row, seal):
            self._problems.add(
                Kind.SEAL_CHANGED,
                f"Seal {row.number} of {row.day} was changed: its statement is another.",
                day=str(row.day),
            )
            self.seals += 1
            self._is_linked = False
            self.last_number = row.number if isinstance(row.number, int) else self.last_number + 1
            return None
        if (key := self._keys.get(seal.key_id)) is None:
            self._problems.add(
                Kind.KEY_UNKNOWN,
                f"Seal {seal.number} of {seal.day} is signed with unknown key {seal.key_id}.",
                day=str(seal.day),
            )
        elif reason := find_signature_problem(row.statement, row.signature, key, seal.sealed_at):
            self._problems.add(
                Kind.SIGNATURE_WRONG,
                f"The signature of seal {seal.number} of {seal.day} {reason}.",
                day=str(seal.day),
            )
        self._check_link(seal)
        self._kept.discard(KeptSeal(seal.number, seal.digest))
        self.seals += 1
        self.first = self.first or seal
        self.last, self.last_number, self._is_linked = seal, seal.number, True
        self.key_ids.add(seal.key_id)
        return seal

    def finish(self) -> None:
        where = "log" if self._is_complete else "file"
        for kept in sorted(self._kept):
            self._problems.add(
                Kind.DIFFERS_FROM_KEPT,
                f"Seal {kept} is not in the {where}: it was removed, or made again with another "
                "content, after you noted it.",
            )
        self._check_trust()

    def _check_trust(self) -> None:
        if self.last is None or self.last.key_id in self._trusted:
            return
        key = self._keys.get(self.last.key_id)
        if key is None:
            return  # reported with the signature
        if key.revoked_at is not None:
            reason = (
                "is revoked, and no later seal confirms it. After a revocation this ends with the "
                "next seal"
            )
        else:
            reason = (
                "is not proven to be this server's. Pass the public key with --key if you know it "
                "from another source"
            )
        self._problems.add(
            Kind.KEY_NOT_TRUSTED,
            f"Key {key.key_id} of the newest seal, {self.last.number}, {reason}.",
            day=str(self.last.day),
        )

    @staticmethod
    def _matches(row: SealRow, seal: Seal) -> bool:
        columns = (str(row.number), str(row.day), str(row.entries), str(row.key_id))
        return columns == (str(seal.number), str(seal.day), str(seal.entries), seal.key_id)

    def _check_link(self, seal: Seal) -> None:
        is_first = self.seals == 0
        if is_first and not self._is_complete:
            return
        if seal.number > self.last_number + 1:
            self.report_missing(self.last_number + 1, seal.number - 1)
            return
        expected = "" if is_first else self.last.digest if self.last else None
        if not self._is_linked or expected is None:
            return  # The one before it is reported.
        is_next = seal.number == self.last_number + 1 and (
            is_first or (self.last is not None and seal.day == self.last.day + _DAY)
        )
        if seal.previous_sha256 != expected or not is_next:
            self._problems.add(
                Kind.CHAIN_BROKEN,
                f"Seal {seal.number} of {seal.day} does not follow the seal before it: one of them "
                "was replaced.",
                day=str(seal.day),
            )

    def report_missing(self, first: int, last: int) -> None:
        after = self.last.day if self.last else None
        which = f"Seal {first} is" if first == last else f"Seals {first} to {last} are"
        where = f"; the one before it is of {after}" if after else ""
        self._problems.add(
            Kind.SEAL_MISSING,
            f"{which} missing{where}.",
            day=str(after + _DAY) if after else None,
        )


class DayCheck:
    """Compares the entries of a day with its list of hashes, both in the order of the IDs.

    Feed a part of the list, then the entries that it contains, then the next part: only one part is
    in memory, however many there are. A partial check has the entries of one tenant only.
    """

    def __init__(self, seal: Seal, problems: Problems, *, is_partial: bool = False) -> None:
        self._is_partial = is_partial
        self.last_listed = ""
        self._seal, self._problems = seal, problems
        self._pending: deque[tuple[str, bytes]] = deque()
        self._listed, self._read = sha256(), sha256()
        self._listed_count = self._read_count = 0
        self._found: list[Problem] = []
        self._found_count = 0

    @property
    def count(self) -> int:
        """How many entries were read."""
        return self._read_count

    @property
    def is_empty(self) -> bool:
        return not self._listed_count and not self._read_count

    def add_hashes(self, hashes: bytes) -> None:
        self._report_missing()
        self._listed.update(hashes)
        for start in range(0, len(hashes), RECORD_BYTES):
            record = hashes[start : start + RECORD_BYTES]
            self.last_listed = record[:ID_BYTES].hex()
            self._pending.append((self.last_listed, record[ID_BYTES:]))
            self._listed_count += 1

    def add_entry(self, entry_id: str, digest: bytes) -> None:
        self._read.update(encode_id(entry_id) + digest)
        self._read_count += 1
        while self._pending and self._pending[0][0] < entry_id:
            self._report(Kind.MISSING, self._pending.popleft()[0], "is missing")
        if not self._pending or self._pending[0][0] != entry_id:
            self._report(Kind.INSERTED, entry_id, "was inserted after its day was sealed")
        elif self._pending.popleft()[1] != digest:
            self._report(Kind.CHANGED, entry_id, "was changed")

    def finish(self) -> int:
        """Report the problems; return the number of entries that were compared."""
        self._report_missing()
        is_listed = self._is_sealed(self._listed_count, self._listed.hexdigest())
        is_read = self._is_sealed(self._read_count, self._read.hexdigest())
        day = str(self._seal.day)
        if is_read and not is_listed:
            message = f"The list of hashes of {day} was changed; its entries are as they were."
            self._problems.add(Kind.HASHES_CHANGED, message, day=day)
        elif not is_read and not (self._is_partial and is_listed and not self._found_count):
            if not is_listed or not self._found_count:
                message = (
                    f"The entries of {day} are not as sealed: {self._read_count:,} of "
                    f"{self._seal.entries:,}. The list of hashes was changed too, so the entries "
                    "named with it may be the wrong ones."
                )
                self._problems.add(Kind.DAY_CHANGED, message, day=day)
            self._problems.extend(self._found, self._found_count)
        return self._read_count

    def _report_missing(self) -> None:
        while self._pending:
            self._report(Kind.MISSING, self._pending.popleft()[0], "is missing")

    def _is_sealed(self, count: int, digest: str) -> bool:
        return (count, digest) == (self._seal.entries, self._seal.entries_sha256)

    def _report(self, kind: Kind, entry_id: str, what: str) -> None:
        if self._is_partial and kind is Kind.MISSING:
            return
        self._found_count += 1
        if len(self._found) < MAX_LISTED_OF_DAY:
            name = format_id(entry_id)
            message = f"Entry {name} of {self._seal.day} {what}."
            self._found.append(Problem(kind, message, str(self._seal.day), name))


def check_pruning(
    statement: str,
    signature: str,
    *,
    keys: Mapping[str, KnownKey],
    trusted: Collection[str],
    now: datetime,
) -> Pruning | str:
    """Return a pruning that was allowed and is signed, or else its fault."""
    if (pruning := parse_pruning(statement)) is None:
        return "it can't be read"
    if (key := keys.get(pruning.key_id)) is None or pruning.key_id not in trusted:
        return f"its key {pruning.key_id} is not this server's"
    if reason := find_signature_problem(statement, signature, key, pruning.pruned_at):
        return f"its signature {reason}"
    if pruning.pruned_at > now + _DAY:
        return f"it is dated {pruning.pruned_at:%Y-%m-%d}, in the future"
    if pruning.through + timedelta(days=MIN_AUDIT_DAYS) >= pruning.pruned_at.date():
        return f"the entries were less than {MIN_AUDIT_DAYS} days old"
    return pruning
