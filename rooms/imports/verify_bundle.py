"""Verify a bundle: every entry and the signature, without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from federation.keys.signing import VerifyingKey, key_from_text, keys_from_descriptor, own_keys
from rooms.bundle.archive.reader import Archive
from rooms.bundle.chain import find_all
from rooms.bundle.chain_files import open_chain_files
from rooms.bundle.format import MIB
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.manifest.references import ReferenceIndex
from rooms.bundle.manifest.schema import ManifestHeader
from rooms.bundle.signature import (
    SignatureDocument,
    VerificationResult,
    VerificationStatus,
    verify_signature,
)
from rooms.bundle.validator import BundleValidator
from rooms.errors import BundleError, BundleNotVerified
from rooms.imports.source import open_seekable
from scaiwave.console.columns import ColumnType, Row
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.console.text import pluralize
from scaiwave.core.bulk import list_some
from scaiwave.core.errors import DatabaseUnreachable, MigrationsPending, ScaiWaveError, UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.storage.error_mapping import translate_errors


@dataclass(frozen=True)
class VerifiedBundle:
    """The content of a bundle, and everything that is wrong with it.

    `header` and `counts` are None if the manifest is invalid.
    """

    entries: int
    manifest_sha256: str
    header: ManifestHeader | None
    counts: EventCounts | None
    signature: SignatureDocument | None
    verification: VerificationResult
    problems: Sequence[ScaiWaveError]
    require_signature: bool

    @property
    def sentence(self) -> str:
        if self.error is None and self.header and self.header.increment:
            chain = self.header.increment.chain
            return (
                f"The bundle is valid: increment {chain.sequence:,} of a chain, with the changes "
                f"since {chain.since}. {self._describe_signature('It')} Only `scaiwave room verify "
                "--chain` shows whether it follows the others."
            )
        if self.error is None:
            return f"The bundle is valid. {self._describe_signature('It')}"
        if self.problems:
            return f"{self.error.message} {self._describe_signature('It')}"
        return self._describe_signature("The bundle")

    @property
    def error(self) -> BundleNotVerified | None:
        """Return the error of a bundle that must not be trusted."""
        if self.problems:
            found = pluralize(len(self.problems), "problem")
            return BundleNotVerified(f"The bundle is not valid: {found} found.")
        if self.verification.status is VerificationStatus.WRONG:
            return BundleNotVerified(
                f"The bundle's signature is not valid. {self.verification.reason}",
                fix=f"Do not import it. {self.verification.fix}",
            )
        if self.require_signature and self.verification.status is not VerificationStatus.VALID:
            return BundleNotVerified(
                "The bundle has no signature from a known key, which --require-signature demands.",
                fix="If you trust the signer, pass its key with --key or --descriptor.",
            )
        return None

    def _describe_signature(self, subject: str) -> str:
        document, status = self.signature, self.verification.status
        if document is None or status is VerificationStatus.UNSIGNED:
            return f"{subject} is unsigned, so its origin can't be verified."
        signer = f"{document.server_name} at {document.signed_at} with key {document.key_id}"
        match status:
            case VerificationStatus.VALID:
                is_named = self.verification.signer == document.server_name
                return f"{subject} is signed by {signer if is_named else self.verification.signer}."
            case VerificationStatus.UNKNOWN:
                return f"{subject} claims to be signed by {signer}, but this key is not known here."
        return (
            f"{subject} claims to be signed by {signer}, but the signature is not valid. "
            f"{self.verification.reason}"
        )

    def facts(self) -> Row:
        header, counts = self.header, self.counts
        rest = " (content not valid)" if self.problems else ""
        increment = header.increment if header else None
        return {
            "room": header.room.name if header else None,
            "room_type": header.room.room_type if header else None,
            "server_name": header.server_name if header else None,
            "exported_at": header.exported_at if header else None,
            "whole_room": header.window is None and not increment if header else None,
            "increment": increment and msgspec.structs.asdict(increment.chain),
            "events": counts.events if counts else None,
            "senders": len(header.senders) if header else None,
            "media": len(header.media) if header else None,
            "missing_media": header.missing_media_count if header else None,
            "entries": self.entries,
            "manifest_sha256": self.manifest_sha256 or None,
            "signature": f"{self.verification.status.value}{rest}",
        }

    def problem_rows(self) -> list[Row]:
        return [
            {
                **{key: problem.details.get(key) for key in ("entry", "event", "event_id")},
                "code": problem.code,
                "message": problem.message,
            }
            for problem in self.problems
        ]

    def document(self) -> Row:
        document, found = self.signature, self.verification
        is_claim = document and found.signer in ("", document.server_name)
        signature = {
            "status": found.status.value,
            "reason": found.reason or None,
            "key_id": document.key_id if document else None,
            "server_name": document.server_name if document and is_claim else None,
            "signed_at": document.signed_at if document else None,
        }
        return {
            "valid": self.error is None,
            **self.facts(),
            "signature": signature,
            "problems": self.problem_rows(),
        }


def verify_bundle(
    *,
    operator: Operator | None,
    file: BinaryIO,
    max_bytes: int,
    key: str | None = None,
    descriptor: Path | None = None,
    require_signature: bool = False,
    progress_factory: ProgressFactory = null_progress_factory,
) -> VerifiedBundle:
    """Validate every entry of a bundle and its signature. Needs no network.

    The known keys are `key`, the keys of a saved descriptor, and with an operator this server's
    own. `max_bytes` limits the bundle, compressed and decompressed.

    Raises `BundleError` if reading on would be dangerous, `InvalidKey`, `InvalidDescriptor` or
    `UsageError`; all other problems are in the result.
    """
    keys = load_keys(operator, key, descriptor)
    problems: list[ScaiWaveError] = []
    try:
        with (
            open_seekable(file, max_bytes=max_bytes, progress_factory=progress_factory) as source,
            progress_factory("Checking", ColumnType.BYTES) as progress,
            closing(ReferenceIndex()) as references,
        ):
            archive = Archive(source.file, max_bytes)
            validator = BundleValidator(archive, problems.append, progress, find_all)
            header, counts = validator.run(references, cut_references=False) or (None, None)
    except BundleError as error:
        error.fix = error.advice
        raise
    return VerifiedBundle(
        len(archive.entries),
        validator.manifest_sha256,
        header,
        counts,
        validator.signature,
        verify_signature(validator.signature, keys),
        problems,
        require_signature,
    )


# The worst signature of a chain counts: one unsigned increment makes the chain unsigned.
_WORST_FIRST = (
    VerificationStatus.WRONG,
    VerificationStatus.UNSIGNED,
    VerificationStatus.UNKNOWN,
    VerificationStatus.VALID,
)


@dataclass(frozen=True)
class VerifiedChain:
    """A valid chain: the room after each bundle, and the result of the signatures."""

    bundles: Sequence[Row]
    status: VerificationStatus
    require_signature: bool

    @property
    def sentence(self) -> str:
        chain = f"The chain of {pluralize(len(self.bundles), 'bundle')} is"
        if self.status is VerificationStatus.WRONG:
            return f"{chain} complete, but a signature is wrong."
        whole = f"{chain} valid."
        if self.status is VerificationStatus.VALID:
            return f"{whole} Every bundle is signed with a known key."
        return f"{whole} Not every bundle is signed with a known key."

    @property
    def error(self) -> BundleNotVerified | None:
        """Return the error of a chain that must not be trusted."""
        if self.status is VerificationStatus.WRONG:
            return BundleNotVerified(f"The signature of {self._find_worst()} is not valid.")
        if self.require_signature and self.status is not VerificationStatus.VALID:
            return BundleNotVerified(
                f"{self._find_worst()} has no signature from a known key, which "
                "--require-signature demands.",
                fix="If you trust the signer, pass its key with --key or --descriptor.",
            )
        return None

    def document(self) -> Row:
        return {
            "valid": self.error is None,
            "signature": self.status.value,
            "links": list(self.bundles),
        }

    def _find_worst(self) -> str:
        """Return the first file whose signature decides about the chain."""
        files = (row["file"] for row in self.bundles if row["signature"] == self.status.value)
        return str(next(files))


def verify_chain(
    *,
    operator: Operator | None,
    files: Sequence[Path],
    max_bytes: int,
    key: str | None = None,
    descriptor: Path | None = None,
    require_signature: bool = False,
    progress_factory: ProgressFactory = null_progress_factory,
) -> VerifiedChain:
    """Validate a chain: every bundle, and the room after each bundle.

    Takes the arguments of `verify_bundle`. Raises the first problem as `BundleError`.
    """
    keys = load_keys(operator, key, descriptor)
    with open_chain_files(files, max_bytes=max_bytes, progress_factory=progress_factory) as chain:
        for _ in chain.iter_batches(with_texts=False):
            pass  # It compares the positions.
        statuses = [verify_signature(item.bundle.signature, keys).status for item in chain.bundles]
        rows = [
            {
                "file": item.name,
                "sequence": number,
                "exported_at": item.header.exported_at,
                "events": totals.events,
                "media": totals.media,
                "digest": totals.digest,
                "manifest_sha256": item.bundle.manifest_sha256,
                "signature": status.value,
            }
            for number, (item, totals, status) in enumerate(
                zip(chain.bundles, chain.totals, statuses, strict=True)
            )
        ]
    return VerifiedChain(rows, min(statuses, key=_WORST_FIRST.index), require_signature)


def warn_of_others(names: Sequence[str]) -> list[str]:
    """Return a warning about files beside a chain, by what `list_others` returned."""
    problem = "Not verified, because only names like 0001.zip are bundles"
    return [f"{problem}: {list_some(names)}."] if names else []


def verify_signatures(
    signatures: Mapping[str, SignatureDocument | None], keys: Mapping[str, VerifyingKey]
) -> VerificationStatus:
    """Return the status of bundles together, by the names of their files.

    Raises `BundleNotVerified` for a wrong signature.
    """
    results = {name: verify_signature(each, keys) for name, each in signatures.items()}
    for name, result in results.items():
        if result.status is VerificationStatus.WRONG:
            raise BundleNotVerified(
                f"The signature of {name} is not valid. {result.reason}",
                fix=f"Do not rely on it. {result.fix}",
            )
    return min((result.status for result in results.values()), key=_WORST_FIRST.index)


def load_keys(
    operator: Operator | None, key: str | None, descriptor: Path | None
) -> Mapping[str, VerifyingKey]:
    """Return the known keys by ID, as `verify_bundle` describes them."""
    keys = read_keys(key, descriptor)
    if operator is None:
        return {key_id: replace(each, is_offline=True) for key_id, each in keys.items()}
    operator.require(Permission.VIEW)
    try:
        with translate_errors():
            return {**keys, **own_keys()}
    except (MigrationsPending, DatabaseUnreachable) as error:
        alternative = "Without a database, pass the signer's key with --key or --descriptor."
        error.fix = f"{error.fix} {alternative}".strip()
        raise


def read_keys(key: str | None, descriptor: Path | None) -> dict[str, VerifyingKey]:
    """Return a given key, and the keys of a descriptor, by ID."""
    keys: dict[str, VerifyingKey] = {}
    if descriptor is not None:
        fix = (
            "Save the response of https://<server>/.well-known/scaiwave/server, and pass that file."
        )
        try:
            with descriptor.open("rb") as file:
                document = json.loads(file.read(MIB))
        except OSError as error:
            problem = f"Can't read descriptor {descriptor}: {error.strerror}."
            raise UsageError(problem, fix=fix) from None
        except (ValueError, RecursionError):
            problem = f"Invalid descriptor: {descriptor} is not JSON."
            raise UsageError(problem, fix=fix) from None
        keys |= keys_from_descriptor(document)
    if key is not None:
        given = key_from_text(key)
        keys.setdefault(given.key_id, given)
    return keys
