"""Read and write JSON documents that a server signs.

The signature is of the canonical JSON (RFC 8785) of everything else in the document: its `format`,
which keeps one kind of document from passing for another, its content, `key_id`, `public_key` and
`algorithm`. The public key lets a host verify that knows only the ID, which is the thumbprint of
the key. It never vouches for itself: the reader names the IDs that it trusts.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import rfc8785

from scaiwave.core.signatures import KnownKey, ServerSigner

ALGORITHM = "ed25519"
_SIGNATURE = "signature"


class SignedFileError(ValueError):
    """The problem, worded to follow the name of the file: "is not JSON"."""


class UnknownSigner(SignedFileError):
    """No trusted key has made the signature."""


@dataclass(frozen=True)
class SignedFile:
    """A document that was read. Nothing is proven before `require_signer`."""

    content: dict[str, Any]

    @property
    def is_signed(self) -> bool:
        return _SIGNATURE in self.content

    def require_signer(self, kind: str, trusted: Collection[str], signer: ServerSigner) -> None:
        """Return if a key with one of these IDs has signed a document of this kind.

        Raises UnknownSigner, SignedFileError and InvalidKey.
        """
        message, fields = _build_message(self.content), self.content
        if (key_id := str(fields.get("key_id"))) not in trusted:
            raise UnknownSigner(f"is signed with the key {key_id!r}, which is not known here")
        if fields.get("format") != kind:
            raise SignedFileError(f"is not a {kind}")
        try:
            signature = base64.b64decode(fields[_SIGNATURE], validate=True)
        except (TypeError, ValueError):
            raise SignedFileError("has a signature that is not base64") from None
        key = signer.parse_key(fields.get("public_key", ""))
        is_its_key = key.key_id == key_id and fields.get("algorithm") == ALGORITHM
        if not is_its_key or not signer.verify(message, signature, key):
            raise SignedFileError(f"was changed after it was signed with the key {key_id}")


def sign_document(
    content: Mapping[str, Any], signer: ServerSigner, key: KnownKey, now: datetime
) -> bytes:
    """Return a document with the signature of the key that signs at this time.

    Raises NoSigningKey and the errors of private keys.
    """
    fields = {"key_id": key.key_id, "public_key": key.public_key, "algorithm": ALGORITHM}
    document = {**content, **fields}
    _, signature = signer.sign(_build_message(document), now)
    return encode_document({**document, _SIGNATURE: base64.b64encode(signature).decode()})


def encode_document(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def read_signed_file(raw: bytes) -> SignedFile:
    """Raises SignedFileError."""
    try:
        return SignedFile(msgspec.json.decode(raw, type=dict[str, Any]))
    except (msgspec.DecodeError, RecursionError) as error:
        raise SignedFileError(f"can't be read: {error}") from None


def _build_message(document: Mapping[str, Any]) -> bytes:
    unsigned = {name: value for name, value in document.items() if name != _SIGNATURE}
    try:
        return rfc8785.dumps(unsigned)
    except rfc8785.CanonicalizationError as error:
        raise SignedFileError(f"can't be read: {error}") from None
