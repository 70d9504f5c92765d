"""The chain of seals of the audit log, the keys that sign them, and its state."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from federation.keys import ed25519
from federation.keys.lifecycle import generate_key, revoke_key, rotate_key
from federation.models import ServerKey
from tenants.audit.queries.checks import KeptSeal
from tenants.audit.queries.format import hash_statement
from tenants.audit.queries.problems import Kind
from tenants.audit.seal_audit import seal_audit
from tenants.errors import AuditChanged
from tenants.models import AuditChain, AuditEntry, AuditSeal, AuditSealPart
from tests.tenants.audit.seals import (
    DAY,
    DAYS,
    FIRST_DAY,
    TODAY,
    delete,
    find,
    make_entry,
    verify,
)
from tests.tenants.factories import (
    HOST_OPERATOR,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


SEALED_AHEAD = (
    "The audit log is sealed through 2021-11-25, which has not begun: a clock was ahead. New "
    "entries are sealed after 2021-11-26, and can be changed until then."
)


def cut_chain(number: int) -> None:
    """Remove all seals after this one, and every trace of them in the database."""
    AuditSeal.objects.filter(number__gt=number).delete()
    AuditSealPart.objects.filter(day__gt=FIRST_DAY + (number - 1) * DAY).delete()
    seal = AuditSeal.objects.filter(number=number).first()
    AuditChain.objects.update(
        seals=number,
        sealed_through=seal.day if seal else None,
        last_seal_sha256=hash_statement(seal.statement) if seal else "",
    )


@pytest.mark.parametrize("number", [0, DAYS - 1])
def test_fail_seals_made_again_by_this_server(number: int, sealed: list[AuditEntry]) -> None:
    """Only a seal that was noted elsewhere shows it: the server itself signs what is left."""
    kept = KeptSeal.parse(str(verify().newest_seal))
    assert verify(kept=(kept,)).error is None
    cut_chain(number)
    delete(sealed[-1])
    seal_audit(operator=HOST_OPERATOR, now=TODAY)
    assert find() == []
    (problem,) = verify(kept=(kept,)).problems.listed
    assert (problem.kind, problem.message) == (
        Kind.DIFFERS_FROM_KEPT,
        f"Seal {kept} is not in the log: it was removed, or made again with another content, "
        "after you noted it.",
    )
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    later = KeptSeal.parse(str(verify(TODAY + DAY).newest_seal))
    problems = verify(TODAY + DAY, kept=(later, kept)).problems.listed
    assert [each.kind for each in problems] == [Kind.DIFFERS_FROM_KEPT]


def test_fail_last_seal_removed_stays_missing(sealed: list[AuditEntry]) -> None:
    AuditSeal.objects.filter(number=DAYS).delete()
    AuditSealPart.objects.filter(day=FIRST_DAY + 3 * DAY).delete()
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    assert ("seal_missing", "2021-11-23", None) in find(TODAY + DAY)
    assert AuditSeal.objects.latest("number").number == DAYS + 1


def test_fail_all_seals_removed(sealed: list[AuditEntry]) -> None:
    for model in (AuditSeal, AuditSealPart, AuditChain):
        model.objects.all().delete()
    assert find() == [("not_sealed", str(FIRST_DAY), None)]


def test_fail_state_removed(sealed: list[AuditEntry]) -> None:
    AuditChain.objects.all().delete()
    assert find() == [("state_changed", None, None)]
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)  # The seals themselves are enough to go on.
    assert find(TODAY + DAY) == []


def forge_chain(first: int, key: ServerKey, seed: bytes) -> None:
    """Sign the seals from one on again with another key, so that they form a chain."""
    import base64

    from tenants.audit.queries.format import canonicalize

    previous = ""
    for seal in AuditSeal.objects.order_by("number"):
        if seal.number >= first:
            values = json.loads(seal.statement)
            values.update(previous_sha256=previous, key_id=key.key_id)
            seal.statement = canonicalize(values).decode()
            seal.key_id = key.key_id
            seal.signature = base64.b64encode(ed25519.sign(seal.statement.encode(), seed)).decode()
            seal.save()
        previous = hash_statement(seal.statement)
    AuditChain.objects.update(last_seal_sha256=previous)


def make_forged_key(**fields: Any) -> tuple[ServerKey, bytes]:
    """A key of someone who can write to the database, and has no encryption key."""
    seed = ed25519.generate_seed()
    public = ed25519.derive_public_key(seed)
    key = ServerKey.objects.create(
        key_id=ed25519.compute_thumbprint(public),
        public_key=ed25519.to_base64(public),
        private_key_encrypted="gAAAAA",
        created_at=TODAY - 200 * DAY,
        signs_from=TODAY - 200 * DAY,
        **fields,
    )
    return key, seed


@pytest.mark.parametrize("first", [1, 3])
def test_fail_chain_replaced_with_another_key(first: int, sealed: list[AuditEntry]) -> None:
    key, seed = make_forged_key()
    forge_chain(first, key, seed)
    assert find() == [("key_not_trusted", "2021-11-23", None)]
    ServerKey.objects.filter(pk=key.pk).update(revoked_at=TODAY - timedelta(minutes=1))
    assert ("key_not_trusted", "2021-11-23", None) in find()
    key.delete()
    assert {kind for kind, _, _ in find()} == {"key_unknown"}


def test_success_rotated_key_verifies_older_seals(sealed: list[AuditEntry]) -> None:
    rotate_key(operator=HOST_OPERATOR, now=TODAY)
    assert find() == []
    now = TODAY + 400 * DAY  # The old key has expired.
    assert seal_audit(operator=HOST_OPERATOR, now=now).figures["days"] == 400
    assert find(now) == []
    assert AuditSeal.objects.values("key_id").distinct().count() == 2


def test_success_next_seal_confirms_those_of_a_revoked_key(sealed: list[AuditEntry]) -> None:
    key = ServerKey.objects.get()
    now = TODAY + timedelta(hours=1)
    revoke_key(operator=HOST_OPERATOR, key_id=key.key_id, confirm=lambda question: None, now=now)
    assert find() == [("key_not_trusted", "2021-11-23", None)]
    text = ed25519.format_stored_key(key)
    assert verify(keys=(text,)).error is None
    generate_key(operator=HOST_OPERATOR, now=TODAY)
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    assert find(TODAY + DAY) == []


def test_fail_seal_dated_after_its_key_was_revoked(sealed: list[AuditEntry]) -> None:
    rotate_key(operator=HOST_OPERATOR, now=TODAY)
    seal_audit(operator=HOST_OPERATOR, now=TODAY + DAY)
    ServerKey.objects.filter(retires_at__isnull=False).update(revoked_at=TODAY - DAY)
    assert [kind for kind, _, _ in find(TODAY + DAY)] == ["signature_wrong"] * DAYS


def test_fail_not_sealed_in_time(sealed: list[AuditEntry]) -> None:
    assert find(TODAY + DAY) == []
    assert find(TODAY + 2 * DAY) == [("not_sealed", "2021-11-24", None)]


def test_fail_a_seal_by_a_clock_that_was_ahead(sealed: list[AuditEntry]) -> None:
    """Entries since have IDs of the first day that is open; later IDs are another problem."""
    seal_audit(operator=HOST_OPERATOR, now=TODAY + 2 * DAY)
    make_entry((TODAY + 2 * DAY).date())
    result = verify()
    assert [each.row() for each in result.problems.listed] == [
        {"kind": "sealed_ahead", "day": "2021-11-25", "entry_id": None, "message": SEALED_AHEAD}
    ]
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("SW_AUDIT_SEALED_AHEAD", SEALED_AHEAD)
    assert find(TODAY + DAY) == []
    make_entry((TODAY + 3 * DAY).date())
    result = verify()
    assert [each.kind for each in result.problems.listed] == [Kind.SEALED_AHEAD, Kind.FUTURE]
    assert isinstance(result.error, AuditChanged)
