from __future__ import annotations

from datetime import timedelta

import pytest

from federation.keys.queries import NO_KEY, ListKeysResult, list_keys
from scaiwave.core.errors import InsufficientPermission
from tests.federation.factories import DAY, NOW, READ_ONLY_OPERATOR, TENANT_ADMIN, make_key

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def list_all() -> ListKeysResult:
    return list_keys(operator=READ_ONLY_OPERATOR, now=NOW)


def test_success_every_state() -> None:
    due = make_key(created_at=NOW + DAY)
    signing = make_key(created_at=NOW - 300 * DAY, retires_at=NOW + 31 * DAY)
    verifying = make_key(created_at=NOW - 400 * DAY, retires_at=NOW + HOUR)
    retired = make_key(created_at=NOW - 500 * DAY, retires_at=NOW)
    revoked = make_key(created_at=NOW - 600 * DAY, revoked_at=NOW)
    states = [(row["key_id"], row["state"], row["days_left"]) for row in list_all().keys]
    assert states == [
        (due.key_id, "next", None),
        (signing.key_id, "signing", 65),
        (verifying.key_id, "verifying", 1),
        (retired.key_id, "retired", None),
        (revoked.key_id, "revoked", None),
    ]


def test_success_one_row() -> None:
    key = make_key(created_at=NOW - 65 * DAY)
    assert list_all().keys == [
        {
            "key_id": key.key_id,
            "state": "signing",
            "public_key": f"ed25519:{key.public_key}",
            "created_at": key.created_at,
            "signing_starts_at": key.signs_from,
            "verification_ends_at": None,
            "revoked_at": None,
            "days_left": 300,
            "rotation_due_at": NOW + 300 * DAY,
        }
    ]
    assert list_all().warnings == []


def test_success_no_signing_key() -> None:
    assert list_all() == ListKeysResult([], [NO_KEY])
    make_key(retires_at=NOW + DAY)
    make_key(revoked_at=NOW)
    assert list_all().warnings == [NO_KEY]


@pytest.mark.parametrize(("days", "left"), [(335, 30), (365, 0), (400, -35)])
def test_success_rotation_is_due(days: int, left: int) -> None:
    key = make_key(created_at=NOW - days * DAY)
    assert list_all().keys[0]["days_left"] == left
    assert list_all().warnings == [
        f"The yearly rotation is due: key {key.key_id} has been signing for {days} days. Run "
        "`scaiwave admin federation key rotate`."
    ]


def test_success_rotation_is_not_due() -> None:
    make_key(created_at=NOW - 335 * DAY + HOUR)
    assert list_all().warnings == []


def test_fail_not_allowed() -> None:
    with pytest.raises(InsufficientPermission):
        list_keys(operator=TENANT_ADMIN, now=NOW)
