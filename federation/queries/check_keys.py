from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from federation.errors import KeyDamaged, KeyUnreadable, NoSigningKey
from federation.models import ServerKey
from federation.queries.key_rows import Row
from federation.queries.keys import all_keys, find_signing_key, key_state
from federation.services.keys import self_test
from scaiwave.auth.operators import Operator, Permission
from scaiwave.errors import ScaiWaveError

Problem = KeyUnreadable | KeyDamaged


@dataclass(frozen=True)
class CheckKeysResult:
    """A row for each key whose private half is stored, newest first; `problem` sums up."""

    keys: list[Row]
    problem: ScaiWaveError | None


def check_keys(*, operator: Operator, now: datetime) -> CheckKeysResult:
    """Whether every stored private half decrypts, and signs what its public half verifies.

    What does not decrypt counts for more than what does not fit: it is this server's
    configuration, and may be all that is wrong. Raises NoSigningKey where nothing is stored.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    keys = all_keys()
    signing = find_signing_key(keys, now)
    problems = [(key, key_problem(key)) for key in keys if key.private_key_encrypted]
    if not problems:
        raise NoSigningKey("This server has no private key to check.")
    rows = [_row(key, key_state(key, signing, now).value, problem) for key, problem in problems]
    found = [problem for _, problem in problems if problem is not None]
    return CheckKeysResult(rows, min(found, key=lambda problem: -problem.exit_code, default=None))


def key_problem(key: ServerKey) -> Problem | None:
    try:
        self_test(key)
    except (KeyUnreadable, KeyDamaged) as problem:
        return problem
    return None


def _row(key: ServerKey, state: str, problem: Problem | None) -> Row:
    return {
        "key_id": key.key_id,
        "state": state,
        "ok": problem is None,
        "problem": problem.message if problem else None,
    }
