from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import rfc8785

from federation.errors import InvalidSignature
from federation.keys.signing import VerifyingKey, key_from_text
from rooms.bundle.signature import (
    SignatureDocument,
    VerificationResult,
    VerificationStatus,
    require_valid,
    verify_signature,
)
from rooms.errors import ImportRefused
from tests.rooms.bundle.factories import (
    make_bundle,
    make_entries,
    make_event,
    make_manifest,
    make_signature,
    validate,
)
from tests.rooms.bundle.golden import PUBLIC_KEY, sign_document

DOCUMENT = make_manifest(make_event(1))
KEY = replace(key_from_text(PUBLIC_KEY), is_own=True)
KEYS = {KEY.key_id: KEY}
ENTRIES = make_entries(DOCUMENT)
RIGHT = sign_document(make_signature(ENTRIES, DOCUMENT, extra={"b": [1.5, "é\u2028"], "a": None}))


def read(document: dict[str, object]) -> SignatureDocument:
    with validate(make_bundle(DOCUMENT, signed=document)) as found:
        assert found.signature is not None
        return found.signature


def verdict(
    document: dict[str, object], keys: dict[str, VerifyingKey] = KEYS
) -> VerificationStatus:
    return verify_signature(read(document), keys).status


def test_success_valid() -> None:
    assert verdict(RIGHT) is VerificationStatus.VALID
    assert require_valid(read(RIGHT), KEYS).status is VerificationStatus.VALID


def test_success_what_is_signed_is_the_canonical_form() -> None:
    """Also with keys outside the Basic Multilingual Plane, which are ordered by UTF-16."""
    odd = {**RIGHT, "\U0001f600": 1, "\ufb33": 2, "€": {"\U0001f600": 1, "\ufb33": 2}, "é": 0.1}
    unsigned = {key: value for key, value in odd.items() if key != "signature"}
    assert read(odd).message == rfc8785.dumps(unsigned)


def test_success_unsigned() -> None:
    assert verdict(make_signature(ENTRIES, DOCUMENT)) is VerificationStatus.UNSIGNED
    assert verify_signature(None, KEYS) == VerificationResult(VerificationStatus.UNSIGNED)


def test_success_unknown_signer() -> None:
    assert verdict(RIGHT, {}) is VerificationStatus.UNKNOWN
    assert require_valid(read(RIGHT), {}).status is VerificationStatus.UNKNOWN


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"server_name": "evil.example"}, "The signature does not match key {} and the data."),
        ({"signature": "AAAA"}, "The signature does not match key {} and the data."),
        ({"signature": "?"}, "The signature is not base64."),
        ({"algorithm": "none"}, "Unknown signature algorithm: 'none'."),
    ],
)
def test_fail_wrong(changes: dict[str, object], why: str) -> None:
    found = read({**RIGHT, **changes})
    assert verify_signature(found, KEYS) == VerificationResult(
        VerificationStatus.WRONG, why.format(KEY.key_id), InvalidSignature.fix
    )
    with pytest.raises(ImportRefused) as caught:
        require_valid(found, KEYS)
    assert caught.value.message == (
        f"The bundle's signature is not valid. {why.format(KEY.key_id)}"
    )


def test_fail_key_that_is_revoked_or_had_expired() -> None:
    found = read(RIGHT)
    revoked = verify_signature(found, {KEY.key_id: replace(KEY, revoked=True)})
    assert revoked.reason == f"The signature was made with key {KEY.key_id}, which is revoked."
    expired = replace(KEY, verifies_until=datetime(2026, 1, 1, tzinfo=UTC))
    assert verify_signature(found, {KEY.key_id: expired}).status is VerificationStatus.WRONG
