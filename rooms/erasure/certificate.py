"""The signed proof that a tenant was erased, with the counts before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from federation.errors import SignatureRefused
from federation.keys.signing import VerifyingKey, verify_file
from rooms.bundle.manifest.schema import Count, Id, Name, Sha256, Timestamp
from rooms.errors import CertificateInvalid
from rooms.imports.verify_bundle import load_keys
from scaiwave.config.server_name import normalize_server_name
from scaiwave.core.errors import UsageError
from scaiwave.core.msgspec_decoders import register_structs
from scaiwave.core.operators import Operator
from scaiwave.core.signed_files import SignedFileError, read_signed_file

_MAX_BYTES = 1024 * 1024
STATEMENT = (
    "The commands of this server deleted the tenant, and then counted nothing of it in the places "
    "that `counts` lists. This can't prove that no one kept a copy."
)


class VerifiedIndex(Struct, frozen=True):
    """The export that was equal to the database when the erasure began."""

    index_sha256: Sha256
    sequence: Count
    snapshot_at: Timestamp
    key_id: str
    files_missing: Count = 0


class PlaceCounts(Struct, frozen=True):
    place: str
    before: Count
    after: Count


class Remainder(Struct, frozen=True):
    """Data that is not erased. `gone_by` is empty if it stays, or if the day is not known."""

    what: str
    gone_by: str = ""


class Certificate(Struct, frozen=True):
    """`tenant_sha256` is of the salt and the ID of the tenant, `scaikey_sha256` of its ScaiKey ID.

    `last_seal` is the last seal of the audit log at the end: the next ones cover the entries.
    """

    format: Literal["scaiwave-erasure-certificate"]
    version: Literal[1]
    generator: Name
    server_name: Name
    id: Id
    operator: str
    operator_role: str
    begun_at: Timestamp
    finished_at: Timestamp
    salt: Annotated[str, Meta(min_length=32, max_length=64)]
    tenant_sha256: Sha256
    scaikey_sha256: str
    export: VerifiedIndex | None
    rooms_not_exported: Count
    counts: list[PlaceCounts]
    holds: Literal[0]
    audit_entry: Id
    last_seal: Count
    not_erased: list[Remainder]
    statement: str
    key_id: str
    algorithm: str
    again: str = ""
    signature: str = ""

    def is_of(self, tenant_id: str) -> bool:
        """Whether this is the ID of the tenant, or its ScaiKey ID."""
        hashes = {self.tenant_sha256, self.scaikey_sha256}
        return hash_salted(self.salt, tenant_id) in hashes


register_structs(Certificate)


def hash_salted(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()


def list_remainders(backups_gone_by: date | None) -> list[Remainder]:
    return [
        Remainder("audit entries of this server, which name the tenant"),
        Remainder("backups made before", backups_gone_by.isoformat() if backups_gone_by else ""),
        Remainder("exports, bundles, plan files and logs that people or hosts have kept"),
        Remainder("copies on other servers, and messages of its people in rooms of other tenants"),
        Remainder("names of its people where they acted as operators for other tenants"),
        Remainder("free pages, statistics, the WAL and snapshots of the database until VACUUM"),
    ]


def verify_certificate(
    *,
    operator: Operator | None,
    file: Path,
    key: str | None = None,
    descriptor: Path | None = None,
    tenant_id: str = "",
) -> tuple[Certificate, str]:
    """Return a certificate with a valid signature, and who made it. It records that nothing is
    left.

    Without an operator, no database is needed. Raises `CertificateInvalid`, `InvalidKey`,
    `InvalidDescriptor` and `UsageError`.
    """
    certificate, signer = read_certificate(file, load_keys(operator, key, descriptor))
    if tenant_id and not certificate.is_of(tenant_id):
        raise CertificateInvalid(f"{file} is about another tenant, not {tenant_id}.")
    return certificate, signer


def read_certificate(
    file: Path, keys: Mapping[str, VerifyingKey], *, by: str | None = None
) -> tuple[Certificate, str]:
    """`by` is the name of this server, if only it may have signed.

    Raises `CertificateInvalid` and `UsageError`.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MAX_BYTES)
        certificate, document = read_signed_file(raw, Certificate, "begun_at", "finished_at")
    except OSError as error:
        raise UsageError(
            f"{file} can't be read: {error.strerror}.",
            fix="Name the file that `scaiwave admin erase-tenant --certificate` wrote.",
        ) from None
    except SignedFileError as error:
        raise CertificateInvalid(f"{file} is not a certificate: it {error}.") from None
    try:
        signer = verify_file(document, keys, certificate.finished_at)
    except SignatureRefused as error:
        raise CertificateInvalid(
            f"The signature of {file} is not accepted. {error.message}", fix=error.fix
        ) from None
    is_own = keys[certificate.key_id].is_own
    if by and not is_own and normalize_server_name(signer) != normalize_server_name(by):
        raise CertificateInvalid(
            f"{file} is signed by {signer}, not by this server.",
            fix="Name a certificate of this server.",
        )
    if left := [each.place for each in certificate.counts if each.after]:
        raise CertificateInvalid(f"By {file} something is left: {', '.join(left)}.")
    return certificate, signer
