from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_sync.errors import WebhookNotConfigured, WebhookSignatureInvalid
from identity_sync.webhooks.signature import get_secrets, verify_signature
from scaiwave.config import load
from tests.identity_sync.webhooks.factories import SECRET, sign

pytestmark = pytest.mark.dated

BODY = b'{"event_id": "evt_1"}'
NOW = 1_800_000_000.0


def verify(
    header: str, body: bytes = BODY, *, now: float = NOW, secrets: tuple[str, ...] = ()
) -> None:
    verify_signature(header, body, secrets=secrets or (SECRET,), now=now)


def is_accepted(header: str) -> bool:
    try:
        verify(header)
    except WebhookSignatureInvalid:
        return False
    return True


def test_success_a_known_vector() -> None:
    digest = "6b2c5b01d7cc1bd64a7dc1d8bd9bd0aa9fc4ebc4f4b21ba5e12b8b3a3ae5e1b1"
    with pytest.raises(WebhookSignatureInvalid, match="doesn't match"):
        verify(f"t=1800000000,v1={digest}")
    # printf '1800000000.{"event_id": "evt_1"}' | openssl dgst -sha256 -hmac whsec-current
    digest = "e661f6bf8659d50da49fe90938c033b330be39255c3c0d70889af2199e35f2ee"
    assert is_accepted(f"t=1800000000,v1={digest}")


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_success_within_300_seconds(offset: int) -> None:
    assert is_accepted(sign(BODY, at=NOW + offset))


@pytest.mark.parametrize("offset", [-301, 301, -(10**9)])
def test_fail_too_old_or_too_new(offset: int) -> None:
    with pytest.raises(WebhookSignatureInvalid, match="300 s"):
        verify(sign(BODY, at=NOW + offset))


def test_success_either_of_two_secrets() -> None:
    for secret in ("new", "old"):
        verify(sign(BODY, secret=secret, at=NOW), secrets=("new", "old"))
    with pytest.raises(WebhookSignatureInvalid):
        verify(sign(BODY, secret="older", at=NOW), secrets=("new", "old"))


def test_success_one_of_several_signatures() -> None:
    moment, digest = sign(BODY, at=NOW).split(",")
    assert is_accepted(f"{moment},v1={'0' * 64},{digest},v0=abc")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1800000000",
        "v1=" + "0" * 64,
        "t=,v1=" + "0" * 64,
        "t=-1,v1=" + "0" * 64,
        "t=1800000000,t=1800000000,v1=" + "0" * 64,
        "t=\u0661\u0668\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660,v1=" + "0" * 64,
        "t=1800000000,v1=" + "é" * 64,
        "t=1800000000,v1=" + "A" * 64,
        "t=9999999999999,v1=" + "0" * 64,
    ],
)
def test_fail_malformed(header: str) -> None:
    with pytest.raises(WebhookSignatureInvalid, match="missing or malformed"):
        verify(header)


@given(header=st.text(max_size=200), body=st.binary(max_size=50))
def test_fail_anything_else(header: str, body: bytes) -> None:
    with pytest.raises(WebhookSignatureInvalid):
        verify(header, body)


@given(body=st.binary(max_size=50), other=st.binary(max_size=50))
def test_fail_other_bytes(body: bytes, other: bytes) -> None:
    header = sign(body, at=NOW)
    if body == other:
        verify(header, other)
        return
    with pytest.raises(WebhookSignatureInvalid, match="doesn't match"):
        verify(header, other)


def test_success_secrets_of_the_configuration() -> None:
    current, former = "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET", "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET_PREVIOUS"
    assert get_secrets(load({current: "a"})) == ["a"]
    assert get_secrets(load({current: "a", former: "b"})) == ["a", "b"]
    for values in ({}, {former: "b"}):
        with pytest.raises(WebhookNotConfigured):
            get_secrets(load(values))
