"""Documents that a server signs, as canonical JSON (RFC 8785) without their `signature`.

They are read as untrusted input.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec
import rfc8785

from federation.errors import InvalidSignature
from federation.keys import signing
from federation.keys.signing import VerifyingKey
from rooms.bundle import strict_json
from rooms.bundle.manifest.schema import is_timestamp
from rooms.bundle.signature import Signer
from rooms.bundle.strict_json import StrictJSONError


class Signed(Protocol):
    """A document with a signature and the ID of its key."""

    @property
    def server_name(self) -> str: ...

    @property
    def key_id(self) -> str: ...

    @property
    def signature(self) -> str: ...


Document = TypeVar("Document", bound=Signed)


def sign(document: Signed, signer: Signer) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(document)
    del content["signature"]
    content["signature"] = base64.b64encode(signer.sign(rfc8785.dumps(content))).decode()
    return content


def decode(raw: bytes, kind: type[Document], *times: str) -> tuple[Document, bytes]:
    """Return a document, and the text that is signed. Raises `StrictJSONError`.

    `times` are the names of fields whose days must exist.
    """
    content = strict_json.loads(raw)
    try:
        document = msgspec.convert(content, kind)
        content.pop("signature", None)
        message = rfc8785.dumps(content)
    except (msgspec.ValidationError, rfc8785.CanonicalizationError) as error:
        raise StrictJSONError(f"does not match the format: {error}") from None
    if wrong := [name for name in times if not is_timestamp(getattr(document, name))]:
        raise StrictJSONError(f"has a day that does not exist in `{wrong[0]}`")
    return document, message


def verify(document: Signed, message: bytes, keys: Mapping[str, VerifyingKey], at: str) -> str:
    """Return who has signed, as `name_signer` does. The key must be among the keys.

    Raises `SignatureRefused`.
    """
    try:
        raw = base64.b64decode(document.signature, validate=True)
    except ValueError:  # It is not base64, or not even ASCII.
        raise InvalidSignature("It is not base64.") from None
    key, signed_at = keys[document.key_id], datetime.fromisoformat(at)
    signing.verify(message, raw, key=key, signed_at=signed_at)
    return signing.name_signer(document.server_name, key)
