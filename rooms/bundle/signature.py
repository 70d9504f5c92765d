"""signature.json: build it, read it, and verify the signature in it.

`SignatureDocumentBuilder` takes the entries as they are written and signs the document;
`read_signature` reads it, and `verify_signature` checks the signature against known keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from msgspec import Struct

from rooms.bundle.format import FORMAT, MAX_MEDIA, MIB, SIGNATURE, SIGNATURE_ALGORITHM, VERSION
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.schema import BundleCounts, Name, SignedEntry, Timestamp, is_timestamp
from rooms.errors import NOTHING_IMPORTED, BundleDamaged, BundleVersion, ImportRefused
from scaiwave.core import strict_json
from scaiwave.core.msgspec_decoders import register_structs
from scaiwave.core.strict_json import StrictJSONError

if TYPE_CHECKING:
    from federation.keys.signing import VerifyingKey

_MAX_KEYS = 100
_MAX_VALUE_BYTES = MIB


class Signer(Protocol):
    """A signing key. `sign` returns the raw bytes of the signature."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...


class SignatureDocumentBuilder:
    """Takes the entries as they are written; keeps only their encoded records."""

    def __init__(self, server_name: str, signed_at: str) -> None:
        self._server_name = server_name
        self._signed_at = signed_at
        self._entries = bytearray()

    def add(self, entry: SignedEntry) -> None:
        if self._entries:
            self._entries += b","
        # The canonical form, since its keys are in the order of the alphabet: a room may have many
        # small files.
        self._entries += msgspec.json.encode(entry)

    def encode(self, counts: BundleCounts, signer: Signer | None) -> Iterator[bytes]:
        """Yield the document in pieces; its last key is the signature of all before it."""
        key_id = signer.key_id if signer else None
        fields: dict[str, Any] = {
            "algorithm": SIGNATURE_ALGORITHM if key_id else None,
            "counts": msgspec.to_builtins(counts),
            "entries": [],
            "format": FORMAT,
            "key_id": key_id,
            "server_name": self._server_name,
            "signed_at": self._signed_at,
            "version": VERSION,
        }
        before, after = _canonicalize(fields).split(b'"entries":[', 1)
        document = b"".join((before, b'"entries":[', self._entries, after))
        signature = base64.b64encode(signer.sign(document)).decode() if signer else None
        yield document[:-1]
        yield b',"signature":' + _canonicalize(signature) + b"}\n"


class SignatureFields(Struct):
    """The document without its entries, as it is decoded."""

    format: Literal["scaiwave-room-bundle"]
    version: Literal[1]
    server_name: Name
    signed_at: Timestamp
    counts: BundleCounts
    key_id: str | None
    algorithm: str | None
    signature: str | None


register_structs(SignatureFields)


class SignatureDocument(SignatureFields):
    """The content of signature.json; its entries are in the signed text only."""

    pieces: Sequence[bytes | bytearray]

    @property
    def message(self) -> bytes:
        """Return the signed text: the document without its signature, canonical by RFC 8785.

        Joined on request, because it is as long as the list of entries.
        """
        return b"".join(self.pieces)


def read_signature(
    chunks: Iterator[bytes], on_entry: Callable[[SignedEntry], None]
) -> SignatureDocument:
    """Read the document and call `on_entry` for each of its entries.

    Only the canonical form of the entries is kept in memory.

    Raises `BundleDamaged` or `BundleVersion`.
    """
    values: dict[str, Any] = {}
    canonical: dict[str, bytes | bytearray] = {}
    try:
        stream = JsonStream(chunks, max_bytes=_MAX_VALUE_BYTES)
        for key in stream.iter_keys(max_keys=_MAX_KEYS):
            if key == "entries":
                canonical[key] = _read_entries(stream, on_entry)
            else:
                values[key] = strict_json.loads(stream.read_value())
                canonical[key] = _canonicalize(values[key])
        stream.expect_end()
        fields = _decode_fields(values)
    except StrictJSONError as error:
        raise _build_error(str(error)) from None
    except msgspec.ValidationError as error:
        raise _build_error(f"does not match the format: {error}") from None
    if "entries" not in canonical:
        raise _build_error("has no `entries`")
    # The object in pieces, its keys in the order of their UTF-16 code units.
    pieces: list[bytes | bytearray] = []
    for name in sorted(canonical.keys() - {"signature"}, key=lambda key: key.encode("utf-16-be")):
        pieces += [b"," if pieces else b"{", _canonicalize(name), b":", canonical[name]]
    return SignatureDocument(**msgspec.structs.asdict(fields), pieces=[*pieces, b"}"])


def _decode_fields(values: dict[str, Any]) -> SignatureFields:
    if (version := values.get("version")) != VERSION:
        raise BundleVersion(
            f"Unsupported version of {SIGNATURE}: {version!r}; this release reads {VERSION!r}.",
            entry=SIGNATURE,
        )
    fields = msgspec.convert(values, SignatureFields)
    if not is_timestamp(fields.signed_at):
        raise StrictJSONError(f"has an invalid timestamp: {fields.signed_at!r:.60}")
    if len({value is None for value in (fields.key_id, fields.algorithm, fields.signature)}) > 1:
        raise StrictJSONError(
            "has an incomplete signature: key_id, algorithm and signature belong together"
        )
    return fields


def _build_error(problem: str) -> BundleDamaged:
    return BundleDamaged(f"{SIGNATURE} {problem}.", entry=SIGNATURE)


def _read_entries(stream: JsonStream, on_entry: Callable[[SignedEntry], None]) -> bytearray:
    """Return the entries in canonical form."""
    rows = bytearray(b"[")
    for raw in stream.iter_items(max_items=MAX_MEDIA + 1):
        value = strict_json.loads(raw)
        on_entry(msgspec.convert(value, SignedEntry))
        if len(rows) > 1:
            rows += b","
        rows += _canonicalize(value)
    rows += b"]"
    return rows


def _canonicalize(value: Any) -> bytes:
    import rfc8785

    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        raise StrictJSONError("has a value that RFC 8785 can't represent") from None


class VerificationStatus(Enum):
    """The result of comparing a signature with the known keys."""

    VALID = "valid"
    WRONG = "wrong"
    UNKNOWN = "unknown signer"
    UNSIGNED = "unsigned"


@dataclass(frozen=True)
class VerificationResult:
    """`reason` and `fix` are about a signature that is wrong, and `signer` is who made a valid one:
    the named server, or a key that proves no name."""

    status: VerificationStatus
    reason: str = ""
    fix: str = ""
    signer: str = ""


def verify_signature(
    document: SignatureDocument | None, keys: Mapping[str, VerifyingKey]
) -> VerificationResult:
    """Check the signature against these keys, by ID, and their validity at its time."""
    from federation.errors import SignatureRefused

    if document is None or document.signature is None or document.key_id is None:
        return VerificationResult(VerificationStatus.UNSIGNED)
    if (key := keys.get(document.key_id)) is None:
        return VerificationResult(VerificationStatus.UNKNOWN)
    try:
        signer = _find_signer(document, document.signature, key)
        return VerificationResult(VerificationStatus.VALID, signer=signer)
    except SignatureRefused as error:
        return VerificationResult(VerificationStatus.WRONG, error.message, error.fix)


def require_valid(
    document: SignatureDocument | None,
    keys: Mapping[str, VerifyingKey],
    *,
    required: bool = False,
) -> VerificationResult:
    """Return the result.

    Raises `ImportRefused` if the signature is wrong, or if one is `required` and no known key has
    made it.
    """
    result = verify_signature(document, keys)
    if result.status is VerificationStatus.WRONG:
        raise ImportRefused(
            f"The bundle's signature is not valid. {result.reason}",
            fix=f"{NOTHING_IMPORTED} {result.fix}",
            entry=SIGNATURE,
        )
    if required and result.status is not VerificationStatus.VALID:
        raise ImportRefused(
            "The bundle has no signature from a known key, which --require-signature demands.",
            fix=f"{NOTHING_IMPORTED} If you trust the signer, pass its key with --key.",
        )
    return result


def _find_signer(document: SignatureDocument, text: str, key: VerifyingKey) -> str:
    """Raises `SignatureRefused`."""
    from federation.errors import InvalidSignature
    from federation.keys import signing

    if document.algorithm != SIGNATURE_ALGORITHM:
        raise InvalidSignature(f"Unknown signature algorithm: {document.algorithm!r:.60}.")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidSignature("The signature is not base64.") from None
    signed_at = datetime.fromisoformat(document.signed_at)
    signing.verify(document.message, raw, key=key, signed_at=signed_at)
    return signing.name_signer(document.server_name, key)
