"""Verify the audit log in the database against its seals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback, ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.signatures import KnownKey
from scaiwave.extensions import SERVER_SIGNER
from tenants.audit.chain import get_last_ended_day
from tenants.audit.queries.checks import (
    ChainCheck,
    DayCheck,
    KeptSeal,
    Seal,
    check_pruning,
    parse_seal,
)
from tenants.audit.queries.format import (
    get_day,
    get_next_start_id,
    get_start_id,
    hash_record,
)
from tenants.audit.queries.problems import (
    MAX_LISTED_OF_DAY,
    Kind,
    Problem,
    Problems,
    VerifyAuditResult,
)
from tenants.audit.queries.records import (
    count_records,
    find_invalid_ids,
    find_seal,
    iter_hash_lists,
    iter_records,
    iter_seals,
    load_chain_row,
    load_prunings,
)
from tenants.audit.queries.remembered import find_lost_seal

PROGRESS_ENTRIES = 1000
MAX_PASSES = 5
"""How often all is compared again because days were sealed or deleted."""
_DAY = timedelta(days=1)
_LATE = _DAY
"""How long after a day was due its seal may be missing."""


def verify_audit(
    *,
    operator: Operator,
    now: datetime,
    keys: Sequence[str] = (),
    kept: Sequence[KeptSeal] = (),
    progress_factory: ProgressFactory = null_progress_factory,
) -> VerifyAuditResult:
    """Compare the audit log with its seals; all problems are in the result.

    `keys` are public keys to trust beside those whose private key this server has, `kept` seals
    that the log must have. Raises InvalidKey.
    """
    operator.require(Permission.VIEW_PLATFORM)
    known, trusted = load_trusted_keys(keys, own=True)
    passes = 0
    while True:
        before = (load_chain_row(), load_prunings())
        result = _verify(known, trusted, kept, now, progress_factory)
        passes += 1
        # Days may have been sealed or deleted while they were compared.
        if passes == MAX_PASSES or (load_chain_row(), load_prunings()) == before:
            return result


def _verify(
    known: Mapping[str, KnownKey],
    trusted: Collection[str],
    kept: Sequence[KeptSeal],
    now: datetime,
    progress_factory: ProgressFactory,
) -> VerifyAuditResult:
    problems = Problems()
    if lost := find_lost_seal():
        problems.add(Kind.DIFFERS_FROM_REMEMBERED, lost.message)
    chain = ChainCheck(known, trusted, problems, is_complete=True, kept=kept)
    for row in iter_seals():
        chain.add(row)
    chain.finish()
    _check_state(chain, problems, now)
    # A pruning may be signed with a key that was revoked since, if the chain confirms that key.
    confirmed = {*trusted, *(chain.key_ids if not problems.count else ())}
    pruned_through = _check_prunings(known, confirmed, problems, now)
    with progress_factory("Verifying entries", ColumnType.COUNT) as progress:
        entries, end = _check_days(pruned_through, problems, progress)
    _check_ids(chain.last, problems, now)
    return VerifyAuditResult(
        seals=chain.seals,
        entries=entries,
        first_day=str(chain.first.day) if chain.first else None,
        last_day=str(chain.last.day) if chain.last else None,
        pruned_through=str(pruned_through) if pruned_through else None,
        unsealed=count_records(end),
        newest_seal=chain.newest_seal,
        key_id=chain.last.key_id if chain.last else None,
        problems=problems,
    )


def _check_ids(last: Seal | None, problems: Problems, now: datetime) -> None:
    """Find entries that would not be sealed for a long time, or ever.

    A seal that is ahead explains IDs of the day after it: new entries get them.
    """
    for entry_id in find_invalid_ids(MAX_LISTED_OF_DAY):
        message = f"An entry was inserted with an invalid ID: {entry_id!r}."
        problems.add(Kind.INSERTED, message, entry_id=entry_id)
    last_open = now.astimezone(UTC).date() + _DAY
    if last is not None and last.day >= last_open:
        last_open = last.day + _DAY
        message = (
            f"The audit log is sealed through {last.day}, which has not begun: a clock was ahead. "
            f"New entries are sealed after {last_open}, and can be changed until then."
        )
        problems.add(Kind.SEALED_AHEAD, message, day=str(last.day))
    future = get_next_start_id(last_open)
    if count := count_records(future):
        message = (
            f"{pluralize(count, 'entry has an ID', 'entries have IDs')} of days after {last_open}, "
            "and can be changed until then."
        )
        problems.add(Kind.FUTURE, message)
    state = load_chain_row()
    if state is not None and state.open_from > future.hex:
        message = f"New entries get IDs of days after {last_open}, and are not sealed until then."
        problems.add(Kind.FUTURE, message)


def load_trusted_keys(
    texts: Sequence[str], *, own: bool
) -> tuple[dict[str, KnownKey], Collection[str]]:
    """Return the known keys, and the IDs of those to trust: given ones, and proven ones of our own.

    Raises InvalidKey.
    """
    signer = SERVER_SIGNER.load()()
    known = signer.load_keys() if own else {}
    given = [signer.parse_key(text) for text in texts]
    trusted = {key.key_id for key in (*given, *known.values()) if key.is_proven or key in given}
    return {**{key.key_id: key for key in given}, **known}, trusted


def _check_state(chain: ChainCheck, problems: Problems, now: datetime) -> None:
    """Find seals that are missing at the end, and days that were not sealed in time."""
    state = load_chain_row()
    if state is None:
        if chain.seals:
            problems.add(Kind.STATE_CHANGED, "The row that remembers the last seal is missing.")
    elif str(state.seals) != str(chain.last_number):
        if isinstance(state.seals, int) and state.seals > chain.last_number:
            chain.report_missing(chain.last_number + 1, state.seals)
        else:
            problems.add(
                Kind.STATE_CHANGED,
                f"The number of seals was changed: {state.seals} instead of {chain.last_number}.",
            )
    elif chain.last is not None and state.last_seal_sha256 != chain.last.digest:
        problems.add(
            Kind.SEAL_CHANGED,
            f"The newest seal, {chain.last.number} of {chain.last.day}, was replaced.",
            day=str(chain.last.day),
        )
    elif chain.last is not None and state.open_from < get_next_start_id(chain.last.day).hex:
        message = "New entries may get IDs of sealed days: their lowest ID was changed."
        problems.add(Kind.STATE_CHANGED, message)
    first_unsealed = _find_first_unsealed(chain)
    if first_unsealed is not None and first_unsealed <= get_last_ended_day(now - _LATE):
        problems.add(
            Kind.NOT_SEALED,
            f"The days from {first_unsealed} on are not sealed.",
            day=str(first_unsealed),
        )


def _find_first_unsealed(chain: ChainCheck) -> date | None:
    if chain.last is not None:
        return chain.last.day + _DAY
    with closing(iter_records(None, None)) as records:
        for record in records:
            try:
                return get_day(UUID(record.id))
            except ValueError:
                return None  # reported as an invalid ID
    return None


def _check_prunings(
    keys: Mapping[str, KnownKey], trusted: Collection[str], problems: Problems, now: datetime
) -> date | None:
    """Return the last day whose entries were rightly deleted."""
    through = None
    for row in load_prunings():
        checked = check_pruning(row.statement, row.signature, keys=keys, trusted=trusted, now=now)
        if not isinstance(checked, str) and str(checked.through) != str(row.through):
            checked = f"it is through {checked.through}"
        if not isinstance(checked, str):
            seal = find_seal("day", checked.through)
            parsed = parse_seal(seal.statement) if seal else None
            if parsed is None or parsed.digest != checked.seal_sha256:
                checked = f"there is no such seal of {checked.through}"
        if isinstance(checked, str):
            message = f"The pruning through {row.through} is not valid: {checked}."
            problems.add(Kind.PRUNING_INVALID, message, day=str(row.through))
        else:
            through = max(filter(None, (through, checked.through)))
    return through


def _check_days(
    pruned_through: date | None, problems: Problems, progress: ProgressCallback
) -> tuple[int, UUID | None]:
    """Check the entries of every sealed day; return their number, and where the last day ends."""
    total, end = 0, None
    for row in iter_seals():
        seal = parse_seal(row.statement)
        if seal is None or (pruned_through is not None and seal.day <= pruned_through):
            continue
        if end is None:
            _report_older(_find_first_start(seal, pruned_through), problems)
        total += _check_day(seal, problems, partial(_report_progress, progress, total))
        end = get_next_start_id(seal.day)
    if end is None and pruned_through is not None:
        end = get_next_start_id(pruned_through)
        _report_older(end, problems)
    return total, end


def _find_first_start(seal: Seal, pruned_through: date | None) -> UUID:
    """Return where the first day begins that may have entries, even if its seal is missing."""
    if pruned_through is not None:
        return get_next_start_id(pruned_through)
    days = min(max(seal.number - 1, 0), (seal.day - date(1970, 1, 1)).days)
    return get_start_id(seal.day - timedelta(days=days))


def _report_progress(progress: ProgressCallback, before: int, count: int) -> None:
    progress(before + count, None)


def _report_older(end: UUID, problems: Problems) -> None:
    """Report all entries before the first day that has any."""
    found: list[Problem] = []
    count = 0
    for record in iter_records(None, end):
        count += 1
        if count <= MAX_LISTED_OF_DAY:
            name = str(record.fields["id"])
            message = f"Entry {name} was inserted before the first day that has entries."
            found.append(Problem(Kind.INSERTED, message, None, name))
    problems.extend(found, count)


def _check_day(seal: Seal, problems: Problems, progress: Callable[[int], None]) -> int:
    day = DayCheck(seal, problems)
    lists = iter_hash_lists(seal.day)
    records = iter_records(get_start_id(seal.day), get_next_start_id(seal.day))
    for count, record in enumerate(records, 1):
        # Read the lists up to the one that contains this entry or later ones.
        while day.last_listed < record.id and (hashes := next(lists, None)) is not None:
            day.add_hashes(hashes)
        day.add_entry(record.id, hash_record(record.fields))
        if count % PROGRESS_ENTRIES == 0:
            progress(count)
    for hashes in lists:
        day.add_hashes(hashes)
    count = count_records(get_start_id(seal.day), get_next_start_id(seal.day))
    if count != day.count:  # Only without the primary key can there be two.
        message = f"Entries of {seal.day} have the ID of another one."
        problems.add(Kind.INSERTED, message, day=str(seal.day))
    return day.finish()
