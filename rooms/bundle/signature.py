"""signature.json: read, compared with the archive, and the signature itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from rooms.bundle import strict_json
from rooms.bundle.format import ALGORITHM, MIB, MOST_MEDIA, SIGNATURE, VERSION
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.schema import Name, Size, Time, is_time
from rooms.bundle.strict_json import StrictJSONError
from rooms.errors import NOTHING_DONE, BundleDamaged, BundleVersion, ImportRefused
from scaiwave.msgspec_decoders import register_structs

if TYPE_CHECKING:
    from federation.services.signing import VerifyingKey

_MOST_KEYS = 100
_MOST_BYTES = MIB
"""Of one value; names are short."""


class SignedEntry(Struct):
    name: str
    sha256: str
    size: Size


class SignedCounts(Struct):
    events: Size
    senders: Size
    media: Size
    missing_media: Size


class _Rest(Struct):
    """The document without its entries."""

    format: Literal["scaiwave-room-bundle"]
    version: Literal[1]
    server_name: Name
    signed_at: Time
    counts: SignedCounts
    key_id: str | None
    algorithm: str | None
    signature: str | None


register_structs(SignedEntry, _Rest)


@dataclass(frozen=True)
class SignatureDocument:
    """What signature.json says, apart from its entries."""

    server_name: str
    signed_at: str
    counts: SignedCounts
    key_id: str | None
    algorithm: str | None
    signature: str | None
    _pieces: Sequence[bytes | bytearray]

    @property
    def message(self) -> bytes:
        """What was signed: the document without its signature in the form of RFC 8785.

        Put together when it is asked for, since it is as long as the list of entries.
        """
        return b"".join(self._pieces)


def read_signature(
    chunks: Iterator[bytes], take: Callable[[SignedEntry], None]
) -> SignatureDocument:
    """Read the document; `take` gets each of its entries. Raises `BundleDamaged`, `BundleVersion`.

    The canonical form is put together row by row, so that it is all that is kept of the entries.
    """
    values: dict[str, Any] = {}
    canonical: dict[str, bytes | bytearray] = {}
    try:
        stream = JsonStream(chunks, most=_MOST_BYTES)
        for key in stream.members(most=_MOST_KEYS):
            if key == "entries":
                canonical[key] = _entries(stream, take)
            else:
                values[key] = strict_json.loads(stream.value())
                canonical[key] = _canonical(values[key])
        stream.end()
        _require_version(values)
        rest = _typed(values)
    except StrictJSONError as error:
        raise _damaged(str(error)) from None
    except msgspec.ValidationError as error:
        raise _damaged(f"is not as the format wants it: {error}") from None
    if "entries" not in canonical:
        raise _damaged("has no `entries`")
    return SignatureDocument(
        rest.server_name,
        rest.signed_at,
        rest.counts,
        rest.key_id,
        rest.algorithm,
        rest.signature,
        _pieces(canonical),
    )


def _typed(values: dict[str, Any]) -> _Rest:
    rest = msgspec.convert(values, _Rest)
    if not is_time(rest.signed_at):
        raise StrictJSONError(f"has a time that is none, {rest.signed_at!r:.60}")
    if len({value is None for value in (rest.key_id, rest.algorithm, rest.signature)}) > 1:
        raise StrictJSONError("is half signed: key_id, algorithm and signature come together")
    return rest


def _damaged(trouble: str) -> BundleDamaged:
    return BundleDamaged(f"{SIGNATURE} {trouble}.", entry=SIGNATURE)


def _require_version(values: dict[str, Any]) -> None:
    if (version := values.get("version")) != VERSION:
        raise BundleVersion(
            f"{SIGNATURE} is of version {version!r}; this release reads {VERSION!r} alone.",
            entry=SIGNATURE,
        )


def _entries(stream: JsonStream, take: Callable[[SignedEntry], None]) -> bytearray:
    rows = bytearray(b"[")
    for raw in stream.items(most=MOST_MEDIA + 1):
        value = strict_json.loads(raw)
        take(msgspec.convert(value, SignedEntry))
        if len(rows) > 1:
            rows += b","
        rows += _canonical(value)
    rows += b"]"
    return rows


def _canonical(value: Any) -> bytes:
    import rfc8785

    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        raise StrictJSONError("has a value that RFC 8785 has no form for") from None


def _pieces(canonical: dict[str, bytes | bytearray]) -> Sequence[bytes | bytearray]:
    """The whole object: its keys in the order of their UTF-16 code units."""
    pieces: list[bytes | bytearray] = []
    names = canonical.keys() - {"signature"}
    for name in sorted(names, key=lambda name: name.encode("utf-16-be")):
        pieces += [b"," if pieces else b"{", _canonical(name), b":", canonical[name]]
    return [*pieces, b"}"]


class VerificationStatus(Enum):
    """What a bundle's signature is worth to somebody who knows these keys."""

    VALID = "valid"
    WRONG = "wrong"
    UNKNOWN = "unknown signer"
    UNSIGNED = "unsigned"


@dataclass(frozen=True)
class VerificationResult:
    """`why` is a sentence about a signature that is wrong, and empty otherwise."""

    verdict: VerificationStatus
    why: str = ""


def verify_signature(
    signed: SignatureDocument | None, keys: Mapping[str, VerifyingKey]
) -> VerificationResult:
    """Whether one of these keys, by their ids, made the signature at a time when it counted."""
    if signed is None or signed.signature is None or signed.key_id is None:
        return VerificationResult(VerificationStatus.UNSIGNED)
    if (key := keys.get(signed.key_id)) is None:
        return VerificationResult(VerificationStatus.UNKNOWN)
    if why := _trouble(signed, signed.signature, key):
        return VerificationResult(VerificationStatus.WRONG, why)
    return VerificationResult(VerificationStatus.VALID)


def require_valid(
    signed: SignatureDocument | None, keys: Mapping[str, VerifyingKey]
) -> VerificationStatus:
    """The verdict. Raises `ImportRefused` for a signature that a known key did not make."""
    judgement = verify_signature(signed, keys)
    if judgement.verdict is VerificationStatus.WRONG:
        raise ImportRefused(
            f"The bundle is not what its signature says. {judgement.why}",
            fix=f"{NOTHING_DONE} Get the bundle anew, signed by a key that counts.",
            entry=SIGNATURE,
        )
    return judgement.verdict


def _trouble(signed: SignatureDocument, text: str, key: VerifyingKey) -> str:
    from federation.errors import SignatureRefused
    from federation.services import signing

    if signed.algorithm != ALGORITHM:
        return f"The signature is of the algorithm {signed.algorithm!r:.60}, which is not known."
    try:
        raw = base64.b64decode(text, validate=True)
        signed_at = datetime.fromisoformat(signed.signed_at)
        signing.verify(signed.message, raw, key=key, signed_at=signed_at)
    except binascii.Error:
        return "The signature is not base64."
    except SignatureRefused as error:
        return error.message
    return ""
