"""Read and write JSON documents that a server signs, or seals for itself. They are untrusted input.

The signature is of the canonical JSON (RFC 8785) of everything else in the document: its `format`,
which keeps one kind of document from passing for another, its content, `key_id`, `public_key` and
`algorithm`. The public key lets a host verify that knows only the ID, which is the thumbprint of
the key. It never vouches for itself: the reader names the IDs that it trusts. Readers of documents
without it, such as the index of a tenant's export, know the keys. A seal is of the canonical JSON
too, by the secret key of the server.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import rfc8785
from django.utils.crypto import constant_time_compare, salted_hmac

from scaiwave.core import strict_json
from scaiwave.core.signatures import KnownKey, ServerSigner
from scaiwave.core.strict_json import StrictJSONError

ALGORITHM = "ed25519"
_SIGNATURE, _SEAL = "signature", "mac"
Document = TypeVar("Document")


class SignedFileError(ValueError):
    """The problem, worded to follow the name of the file: "is not JSON"."""


class UnknownSigner(SignedFileError):
    """No trusted key has made the signature."""


@dataclass(frozen=True)
class SignedFile:
    """A document that was read, and the text that is signed. Nothing is proven by that."""

    content: dict[str, Any]
    message: bytes

    @property
    def is_signed(self) -> bool:
        return _SIGNATURE in self.content

    @property
    def signature(self) -> bytes:
        """Text that is not base64 is read as an empty signature, which is of no key."""
        try:
            return base64.b64decode(str(self.content.get(_SIGNATURE)), validate=True)
        except ValueError:
            return b""

    def has_seal(self, purpose: str) -> bool:
        """Whether this server has sealed it for this purpose."""
        return constant_time_compare(str(self.content.get(_SEAL)), _seal(self.content, purpose))

    def require_signer(self, kind: str, trusted: Collection[str], signer: ServerSigner) -> None:
        """Return if a key with one of these IDs has signed a document of this kind.

        Raises UnknownSigner, SignedFileError and InvalidKey.
        """
        fields = self.content
        if (key_id := str(fields.get("key_id"))) not in trusted:
            raise UnknownSigner(f"is signed with the key {key_id!r}, which is not known here")
        if fields.get("format") != kind:
            raise SignedFileError(f"is not a {kind}")
        signature, key = self.signature, signer.parse_key(fields.get("public_key", ""))
        is_its_key = key.key_id == key_id and fields.get("algorithm") == ALGORITHM
        if not is_its_key or not signer.verify(self.message, signature, key):
            raise SignedFileError(f"was changed after it was signed with the key {key_id}")


def sign_document(
    content: Mapping[str, object], signer: ServerSigner, key: KnownKey, now: datetime
) -> bytes:
    """Return a document with the signature of the key that signs at this time.

    Raises NoSigningKey and the errors of private keys.
    """
    fields = {"key_id": key.key_id, "public_key": key.public_key, "algorithm": ALGORITHM}
    document = {**content, **fields}
    return encode_document(add_signature(document, lambda text: signer.sign(text, now)[1]))


def add_signature(content: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> dict[str, Any]:
    """Return a document with the signature by `sign`, in place of one that it may have."""
    signature = sign(_encode(content, without=_SIGNATURE))
    return {**content, _SIGNATURE: base64.b64encode(signature).decode()}


def encode_document(document: Mapping[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def encode_sealed(content: Mapping[str, Any], purpose: str) -> bytes:
    """Return the canonical JSON of a document that this server alone can write for the purpose."""
    return rfc8785.dumps({**content, _SEAL: _seal(content, purpose)}) + b"\n"


def read_signed_file(raw: bytes, kind: type[Document], *times: str) -> tuple[Document, SignedFile]:
    """`times` are the names of fields whose days must exist. Raises SignedFileError."""
    try:
        content = strict_json.loads(raw)
        document = msgspec.convert(content, kind)
        for name in times:
            datetime.fromisoformat(getattr(document, name))
        return document, SignedFile(content, _encode(content, without=_SIGNATURE))
    except StrictJSONError as error:
        raise SignedFileError(str(error)) from None
    except (msgspec.ValidationError, ValueError) as error:
        raise SignedFileError(f"does not match the format: {error}") from None


def _seal(content: Mapping[str, object], purpose: str) -> str:
    text = _encode(content, without=_SEAL)
    return salted_hmac(purpose, text, algorithm="sha256").hexdigest()


def _encode(content: Mapping[str, Any], *, without: str) -> bytes:
    return rfc8785.dumps({key: value for key, value in content.items() if key != without})
