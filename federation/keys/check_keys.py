"""Whether the stored private keys decrypt and sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from federation.errors import REVOKE_DAMAGED, KeyDamaged, KeyFromFuture, KeyUnreadable, NoSigningKey
from federation.keys.lifecycle import self_test
from federation.keys.queries import (
    find_signing_key,
    find_time_fault,
    get_key_state,
    get_rotation_due_at,
    is_rotation_near,
    load_keys,
)
from federation.models import ServerKey
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.serializers import Row

Problem = KeyUnreadable | KeyDamaged | KeyFromFuture


@dataclass(frozen=True)
class CheckKeysResult:
    """A row for each stored private key, newest first; `problem` is the most serious one.

    `problems` has the problem of each key that has one, by key ID.
    """

    keys: list[Row]
    problem: ScaiWaveError | None
    problems: dict[str, ScaiWaveError]


@dataclass(frozen=True)
class KeyHealth:
    """`signing_key_id` is None if no key signs; the lists contain key IDs.

    `rotation_is_near` holds from day 335 on, `rotation_due_at` is day 365.
    """

    signing_key_id: str | None
    rotation_due_at: datetime | None
    rotation_is_near: bool
    unreadable: list[str]
    damaged: list[str]
    time_fault: KeyFromFuture | None

    @property
    def rotation_warning(self) -> tuple[str, str] | None:
        """The message and the fix if the key that signs is due for rotation."""
        if not (self.rotation_is_near and self.rotation_due_at):
            return None
        return (
            f"The yearly rotation is due on {self.rotation_due_at:%Y-%m-%d}.",
            "Run `scaiwave admin federation key rotate`.",
        )


def check_keys(*, operator: Operator, now: datetime) -> CheckKeysResult:
    """Check that every stored private key decrypts and matches its public key.

    An unreadable key is more serious than a damaged one, since it points to this server's
    configuration, which may be all that is wrong. Raises NoSigningKey if no private key is stored.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    keys = load_keys()
    signing = find_signing_key(keys, now)
    problems = [
        (key, _advise(find_key_problem(key), key, signing) or find_time_fault([key], now))
        for key in keys
        if key.private_key_encrypted
    ]
    if not problems:
        raise NoSigningKey("This server has no private key to check.")
    rows = [
        {
            "key_id": key.key_id,
            "state": get_key_state(key, signing, now).value,
            "ok": problem is None,
            "problem": problem.message if problem else None,
        }
        for key, problem in problems
    ]
    raised: dict[str, ScaiWaveError] = {key.key_id: problem for key, problem in problems if problem}
    most_serious = min(raised.values(), key=lambda problem: -problem.exit_code, default=None)
    return CheckKeysResult(rows, most_serious, raised)


def _advise(
    problem: KeyUnreadable | KeyDamaged | None, key: ServerKey, signing: ServerKey | None
) -> KeyUnreadable | KeyDamaged | None:
    """Rotating replaces the key that signs; a damaged older one would stay."""
    if isinstance(problem, KeyDamaged) and (signing is None or key.pk != signing.pk):
        problem.fix = REVOKE_DAMAGED.format(key.key_id)
    return problem


def get_key_health(now: datetime) -> KeyHealth:
    """Summarise the keys for `doctor`. Problems of keys are reported, never raised."""
    keys = load_keys()
    signing = find_signing_key(keys, now)
    problems = {key.key_id: find_key_problem(key) for key in keys if key.private_key_encrypted}
    return KeyHealth(
        signing_key_id=signing.key_id if signing else None,
        rotation_due_at=get_rotation_due_at(signing) if signing else None,
        rotation_is_near=signing is not None and is_rotation_near(signing, now),
        unreadable=_filter_ids(problems, KeyUnreadable),
        damaged=_filter_ids(problems, KeyDamaged),
        time_fault=find_time_fault(keys, now),
    )


def _filter_ids(problems: Mapping[str, Problem | None], kind: type[Problem]) -> list[str]:
    return [key_id for key_id, problem in problems.items() if isinstance(problem, kind)]


def find_key_problem(key: ServerKey) -> KeyUnreadable | KeyDamaged | None:
    try:
        self_test(key)
    except (KeyUnreadable, KeyDamaged) as problem:
        return problem
    return None
