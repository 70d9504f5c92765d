"""Keys that a wrong clock has dated: each state is reported, and one command leads out of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from federation.errors import KeyExists, KeyFromFuture
from federation.keys.check_keys import check_keys
from federation.keys.descriptor import show_descriptor
from federation.keys.encryption import encrypt_seed
from federation.keys.lifecycle import generate_key, revoke_key, rotate_key
from federation.keys.queries import (
    find_time_fault,
    has_future_times,
    list_keys,
    load_keys,
    signing_key,
)
from federation.models import ServerKey
from scaiwave.config import load
from scaiwave.core.errors import ScaiWaveError
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.keys import check_federation_keys
from scaiwave.operations.metrics.collectors import collect_key_metrics
from tenants.models import AuditEntry
from tests.tenants.factories import HOST_OPERATOR as HOST
from tests.tenants.factories import NOW
from tests.tools import count_examples

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
DAY = timedelta(days=1)
AHEAD = NOW + 1000 * DAY
MAX_STEPS = 3
ROTATE = "scaiwave admin federation key rotate"


def generate(now: datetime) -> None:
    generate_key(operator=HOST, now=now)


def rotate(now: datetime) -> bool:
    return rotate_key(operator=HOST, now=now, started_at=now).changed


def revoke(key_id: str, now: datetime) -> None:
    revoke_key(operator=HOST, key_id=key_id, confirm=lambda question: None, now=now)


def find_state(now: datetime) -> tuple[str | None, list[str]]:
    """Return the ID of the key that signs, and the warnings of the list."""
    key = signing_key(now)
    key_id = None if key is None else key.key_id
    return key_id, list(list_keys(operator=HOST, now=now).warnings)


def test_fail_first_key_made_by_a_clock_that_was_ahead() -> None:
    generate(AHEAD)
    (old,) = load_keys()

    fault = find_time_fault([old], NOW)
    assert isinstance(fault, KeyFromFuture)
    assert fault.message == (
        f"Keys have times in the future: {old.key_id} signs from "
        f"{AHEAD:%Y-%m-%d %H:%M} UTC. Nothing is signed now."
    )
    assert find_state(NOW) == (None, [f"{fault.message} {fault.fix}"])
    assert show_descriptor(operator=HOST, now=NOW).warnings[0].startswith(fault.message)
    assert check_keys(operator=HOST, now=NOW).problem is not None
    (finding,) = check_federation_keys(load({}), NOW)
    assert (finding.state, finding.code) == (State.FAIL, "SW_FEDERATION_KEY_FROM_FUTURE")
    metrics = {metric.name: metric.samples for metric in collect_key_metrics(NOW)}
    assert metrics["federation_keys_from_future"] == [({}, 1)]
    with pytest.raises(KeyExists) as caught:
        generate(NOW)
    assert ROTATE in caught.value.fix

    assert rotate(NOW)

    new, corrected = load_keys()
    assert (corrected.pk, corrected.retires_at) == (old.pk, NOW + 30 * DAY)
    assert corrected.created_at < NOW > corrected.signs_from
    assert find_state(NOW) == (new.key_id, [])
    entry = AuditEntry.objects.get(action="federation key rotate")
    assert entry.details["corrected_key_ids"] == [old.key_id]
    assert {metric.name: metric.samples for metric in collect_key_metrics(NOW)}[
        "federation_keys_from_future"
    ] == [({}, 0)]


def test_fail_rotation_by_a_clock_that_was_ahead() -> None:
    generate(NOW - 10 * DAY)
    (first,) = load_keys()
    rotate(AHEAD)
    signing, (warning,) = find_state(NOW)
    # The replaced key still signs, and would verify for years.
    assert (signing, ROTATE in warning) == (first.key_id, True)

    assert rotate(NOW)

    assert not any(has_future_times(key, NOW) for key in load_keys())
    assert max(filter(None, (key.retires_at for key in load_keys()))) == NOW + 30 * DAY
    signing, warnings = find_state(NOW)
    assert (signing not in (None, first.key_id), warnings) == (True, [])
    assert len(show_descriptor(operator=HOST, now=NOW).document()["previous_keys"]) == 2


def test_success_clocks_within_the_tolerance() -> None:
    generate(NOW + timedelta(seconds=60))
    assert find_state(NOW) == (load_keys()[0].key_id, [])


def test_success_a_run_that_was_late_reports_the_rotation_of_another() -> None:
    generate(NOW)
    rotate_key(operator=HOST, now=NOW + DAY, started_at=NOW + DAY)
    result = rotate_key(operator=HOST, now=NOW + DAY, started_at=NOW + DAY - timedelta(seconds=1))
    assert not result.changed
    # A clock that was set back while the command started claims nothing.
    assert rotate_key(operator=HOST, now=NOW + DAY, started_at=AHEAD).changed


acts = st.lists(
    st.tuples(
        st.sampled_from(["generate", "rotate", "revoke", "damage", "lose"]),
        st.integers(-2000, 2000),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(acts=acts, offset=st.integers(-2000, 2000))
@example(acts=[("generate", 900, 0)], offset=0)
@example(acts=[("generate", 0, 0), ("rotate", 900, 0), ("revoke", 900, 0)], offset=10)
@example(acts=[("generate", 900, 0), ("revoke", 0, 0)], offset=0)
@example(acts=[("generate", 0, 0), ("rotate", 900, 0), ("lose", 0, 0), ("damage", 0, 1)], offset=1)
@settings(
    max_examples=count_examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_success_following_the_commands_leads_to_a_valid_key(
    acts: list[tuple[str, int, int]], offset: int
) -> None:
    ServerKey.objects.all().delete()
    for act, days, number in acts:
        with suppress(ScaiWaveError, IndexError, ServerKey.DoesNotExist):
            key_id = "" if act in ("generate", "rotate") else load_keys()[number].key_id
            if act in ("damage", "lose"):
                replace_private_key(key_id, is_lost=act == "lose")
            else:
                run(["key", act, key_id], NOW + days * DAY)
    now = NOW + offset * DAY

    steps = list(follow_commands(now))

    spoiled = sum(act in ("damage", "lose") for act, *_ in acts)
    assert len(steps) <= MAX_STEPS + 2 * spoiled, steps
    assert [f.state for f in check_federation_keys(load({}), now)] == [State.PASS]
    key = signing_key(now)
    assert key is not None
    assert key.revoked_at is key.retires_at is None
    assert find_time_fault(load_keys(), now) is None
    assert -timedelta(seconds=60) <= now - key.signs_from < 365 * DAY


def follow_commands(now: datetime) -> Iterator[list[str]]:
    """Run the command that a warning names, or the fix of its error, until none is named."""
    while text := find_advice(now):
        while words := find_command(text):
            yield words
            try:
                run(words, now)
            except ScaiWaveError as error:
                text = error.fix
            else:
                break


def find_advice(now: datetime) -> str:
    """Return what `doctor` and the list advise first."""
    fixes = [finding.fix for finding in check_federation_keys(load({}), now) if finding.fix]
    return next(iter([*fixes, *list_keys(operator=HOST, now=now).warnings]), "")


def replace_private_key(key_id: str, *, is_lost: bool) -> None:
    """Make a private key unreadable, as with another encryption key, or that of another pair."""
    key = ServerKey.objects.exclude(private_key_encrypted="").get(key_id=key_id)
    key.private_key_encrypted = "lost" if is_lost else encrypt_seed(b"x" * 32)
    key.save()


def find_command(text: str) -> list[str]:
    match = re.search("`scaiwave admin federation ([^`]*)`", text)
    return shlex.split(match[1]) if match else []


def run(words: list[str], now: datetime) -> None:
    match words:
        case ["key", "generate", *_]:
            generate(now)
        case ["key", "rotate", *_]:
            assert rotate(now)
        case ["key", "revoke", key_id]:
            revoke(key_id, now)
