from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import InvalidKey
from federation.keys import ed25519
from tests.refusals import refuses

# RFC 8032, 7.1: secret key, public key, message, signature.
RFC_8032 = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}
VECTORS = pytest.mark.parametrize(
    ("secret", "public", "message", "signature"), RFC_8032.values(), ids=RFC_8032
)


@VECTORS
def test_success_rfc_8032(secret: str, public: str, message: str, signature: str) -> None:
    seed, data = bytes.fromhex(secret), bytes.fromhex(message)
    assert ed25519.derive_public_key(seed).hex() == public
    assert ed25519.sign(data, seed).hex() == signature
    assert ed25519.verify(bytes.fromhex(signature), data, bytes.fromhex(public))


@VECTORS
def test_fail_any_changed_byte(secret: str, public: str, message: str, signature: str) -> None:
    valid = bytes.fromhex(signature)
    data, key = bytes.fromhex(message), bytes.fromhex(public)
    assert not ed25519.verify(valid, data + b"x", key)
    for index in (0, 31, 32, 63):
        invalid = bytes(byte ^ (position == index) for position, byte in enumerate(valid))
        assert not ed25519.verify(invalid, data, key)
    for length in (0, 63, 65):
        assert not ed25519.verify((valid + b"\0")[:length], data, key)


def test_success_rfc_8037_thumbprint() -> None:
    """RFC 8037, A.3, of the key of A.2."""
    public_key = ed25519.parse_public_key("ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert public_key.hex() == RFC_8032["TEST 1"][1]
    assert ed25519.compute_thumbprint(public_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@given(st.binary(min_size=32, max_size=32))
def test_success_text_and_back(public_key: bytes) -> None:
    text = ed25519.format_public_key(public_key)
    assert text == "ed25519:" + base64.b64encode(public_key).decode()
    spellings = (text, text.rstrip("="), text.replace("+", "-").replace("/", "_"))
    assert {ed25519.parse_public_key(spelling) for spelling in spellings} == {public_key}


@pytest.mark.parametrize(
    "text",
    [
        "ed25519:",
        "ed25519:AAAA",
        "ed25519:" + "A" * 42,
        "ed25519:" + "A" * 45,
        "ed25519:" + "A" * 43 + "==",
        "ed25519:" + "A" * 43 + "\n",
        "ed25519: " + "A" * 43,
        "ed25519:" + "é" * 43,
    ],
)
def test_fail_not_32_bytes(text: str) -> None:
    with refuses(InvalidKey, "The public key is not 32 bytes in base64 after `ed25519:`."):
        ed25519.parse_public_key(text)


@pytest.mark.parametrize("text", ["", "A" * 43, "rsa:AAAA", "Ed25519:" + "A" * 43, None, 7, []])
def test_fail_not_ed25519(text: object) -> None:
    with refuses(
        InvalidKey,
        "The public key does not start with `ed25519:`.",
        "Write the key as in a descriptor: `ed25519:` followed by 32 bytes in base64.",
    ):
        ed25519.parse_public_key(text)
